"""The line on this machine: ``python -m sandbox up | down | status | clean``."""

import argparse
import signal
import sys
import types

from sandbox.line import commands, run_dir


def main() -> None:
    """Run one command; exit code 1 when it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="The whole line on this machine, with stand-ins for what is not configured.",
        epilog="RUN_DIR (default .run) is where a line lives; INGESTS, EMBEDDERS and INDEXERS say how many of each.",
    )
    parser.add_argument("command", choices=("up", "down", "status", "clean"))
    chosen = parser.parse_args().command
    signal.signal(signal.SIGTERM, _interrupt)  # as a Ctrl-C: `up` cleans up behind itself
    try:
        run = run_dir.current()
        if chosen == "status":
            sys.exit(0 if commands.status(run) else 1)
        {"up": commands.up, "down": commands.down, "clean": commands.clean}[chosen](run)
    except commands.CommandError as error:
        commands.out.print(str(error), style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
