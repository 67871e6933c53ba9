"""``python -m deploy.check``: all of it, or the parts that are named: lint lacking life roles."""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from deploy.check import account, least, life, lint, operating, report, roles, servers, through
from deploy.operations import line as lines

ROOT: Final = lines.ROOT.parent
FOLDER: Final = ROOT / "build" / "deploy"
TOOLS: Final = FOLDER / "tools"  # the emulator, cfn-lint and moto; `make` installs it
CHECKOV: Final = FOLDER / "checkov"
PARTS: Final = ("lint", "lacking", "life", "roles")


def main() -> int:
    """Run the check; 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m deploy.check", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    chosen = parser.parse_args().parts or list(PARTS)
    scratch = FOLDER / "run"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    say, began = report.Report(), time.monotonic()
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as beside:  # checkov mostly waits for itself
            linting = beside.submit(_lint, scratch, say) if "lint" in chosen else None
            for name in chosen:
                if name != "lint":
                    with say.part(name):
                        _PARTS[name](scratch, say)
                if linting is not None and linting.done():
                    linting.result()
            if linting is not None:
                linting.result()
    except report.Broken as broken:
        say.say(f"\nBroken: {broken}\nLogs are in {os.path.relpath(scratch)}.")
        return 1
    say.say(f"\n{say.table()}\n\nAll of it holds; {time.monotonic() - began:.0f} s.")
    return 0


def _lint(scratch: pathlib.Path, say: report.Report) -> None:
    lint.templates(TOOLS, CHECKOV, say)
    lint.unit(scratch, say)


def _lacking(_scratch: pathlib.Path, say: report.Report) -> None:
    done = subprocess.run(
        [str(TOOLS / "bin" / "python"), str(pathlib.Path(__file__).parent / "on_moto.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report.expect(done.returncode == 0, f"moto: {done.stdout}{done.stderr[-3000:]}")
    for made in done.stdout.splitlines():
        say.shown(f"on moto, {made}")


def _life(scratch: pathlib.Path, say: report.Report) -> None:
    with account.running(
        TOOLS / "bin" / "python", scratch / "life", tls=False, valkey_port=servers.free_port()
    ) as here:
        life.whole(here, say)


def _roles(scratch: pathlib.Path, say: report.Report) -> None:
    port = servers.free_port()
    with account.running(TOOLS / "bin" / "python", scratch / "roles", tls=True, valkey_port=port) as here:
        line = life.line_of("production", here)
        life.create(here, line, say)
        with roles.standing(here, line, scratch / "roles" / "line", port) as standing:
            roles.contract(standing, say)
            through.load_balancer(standing, say)
            operating.shown(standing, say)
            least.shown(standing, say)
        life.delete(here, line, say)


_PARTS: Final[dict[str, Callable[[pathlib.Path, report.Report], None]]] = {
    "lacking": _lacking,
    "life": _life,
    "roles": _roles,
}

if __name__ == "__main__":
    sys.exit(main())
