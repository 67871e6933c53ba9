"""The files of one line under ``.run``: what is there, who may read it, and how it is written."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

PRIVATE = 0o600
# Everything that `clean` removes; nothing else in the folder is ever touched.
STATE = ("valkey", "aws", "openai", "pinecone", "logs")
FILES = ("ports.json", "secrets.json", "plan.json", "state.json", "endpoints.env", "envoy.yaml")
LOCKS = ("supervisor.lock", "command.lock")


@dataclasses.dataclass(frozen=True)
class RunDir:
    """One line's folder; ``path`` is absolute."""

    path: pathlib.Path

    @property
    def logs(self) -> pathlib.Path:
        """One file a process."""
        return self.path / "logs"

    def log(self, process: str) -> pathlib.Path:
        """What a process wrote to its standard output and error."""
        return self.logs / f"{process}.log"

    def pid_file(self, process: str) -> pathlib.Path:
        """Holds the process id, and a line end."""
        return self.path / f"{process}.pid"

    def create(self) -> None:
        """Make the folders; only their owner may look inside."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs.mkdir(exist_ok=True)

    def write(self, name: str, text: str) -> None:
        """Replace a file as a whole, readable by its owner only."""
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, self.path / name)
        except BaseException:
            os.unlink(temporary)
            raise

    def write_json(self, name: str, value: Any) -> None:
        """Replace a file by a value."""
        self.write(name, json.dumps(value, indent=1) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """A file's value; {} when it is absent or was cut off."""
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def write_pid(self, process: str, pid: int) -> None:
        """Say which process it is now."""
        self.write(self.pid_file(process).name, f"{pid}\n")

    def remove_pids(self) -> None:
        """Nothing runs any more."""
        for file in self.path.glob("*.pid"):
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Hold a lock; the value says whether it is held. The system lets go of it when its holder dies, however."""
        with open(self.path / name, "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True

    def supervised(self) -> bool:
        """Whether a supervisor of this line is alive."""
        if not self.path.is_dir():
            return False
        with self.lock("supervisor.lock", wait=False) as free:
            return not free

    def remove_state(self) -> None:
        """Remove what the line has written, and the folder if it is empty then."""
        for name in STATE:
            shutil.rmtree(self.path / name, ignore_errors=True)
        self.remove_pids()
        for name in (*FILES, *LOCKS):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()


def current() -> RunDir:
    """The line's folder: RUN_DIR, or ``.run`` in the working directory."""
    return RunDir(pathlib.Path(os.environ.get("RUN_DIR") or ".run").resolve())
