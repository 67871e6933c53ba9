"""Arms the failpoints of a running line (`services.runtime.failpoints`) through a file that its processes read."""

import pathlib


class Failpoints:
    """Rules for the processes of one line.

    Args:
        folder: Made here; holds the rules and a marker for each firing.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are started with."""
        return {"FAILPOINT": f"@{self._folder / 'rules'}", "FAILPOINT_DIR": str(self._folder)}

    def arm(self, rules: str) -> None:
        """Put these rules in place of all others."""
        self.disarm()
        draft = self._folder / "draft"
        draft.write_text(rules)
        draft.rename(self._folder / "rules")

    def disarm(self) -> None:
        """No rules, and no memory of firings."""
        for file in self._folder.iterdir():
            file.unlink()

    @property
    def fired(self) -> list[float]:
        """When rules fired: Unix seconds, in order."""
        return sorted(file.stat().st_mtime for file in self._folder.iterdir() if file.suffix[1:].isdigit())
