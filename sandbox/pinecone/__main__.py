"""`python -m sandbox.pinecone`: run the stand-in until SIGTERM or SIGINT."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from sandbox.pinecone import app, rates, splice, units

_DEFAULT_PORT = 9002


def _arguments() -> argparse.Namespace:
    """Read the flags; each has a variable SANDBOX_PINECONE_<FLAG> that it overrides."""
    parser = argparse.ArgumentParser(prog="sandbox.pinecone", description=__doc__)

    def add(flag: str, kind: type, default: object, text: str) -> None:
        variable = f"SANDBOX_PINECONE_{flag.upper().replace('-', '_')}"
        raw = os.environ.get(variable)
        try:
            value = default if raw is None else kind(raw)
        except ValueError:
            parser.error(f"{variable}: {raw!r} is not a {kind.__name__}")
        parser.add_argument(f"--{flag}", type=kind, default=value, help=f"{text} (default {default}; {variable})")

    add("host", str, splice.HOST, "address to listen on")
    add("name", str, splice.HOST, "host in the addresses that describe_index answers: what others reach this by")
    add("port", int, _DEFAULT_PORT, "port for REST and gRPC; 0: any free one")
    add("data-dir", Path, Path(".run/pinecone"), "where indexes are kept")
    add("api-key", str, None, "the only key that is accepted; none: any")
    add("upserts-per-second", float, rates.UPSERTS, "limit by namespace; 0: none")
    add("bytes-per-second", float, rates.UPSERT_BYTES, "limit of upserted bytes by namespace; 0: none")
    add("queries-per-second", float, rates.QUERIES, "limit by namespace; 0: none")
    add("write-units-per-month", float, 0.0, "a plan's; 0: as many as one likes")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    limits = rates.Rates(arguments.upserts_per_second, arguments.bytes_per_second, arguments.queries_per_second)
    stand_in = await app.start(
        arguments.data_dir,
        arguments.port,
        limits,
        arguments.api_key,
        month=units.Month(arguments.write_units_per_month),
        host=arguments.host,
        name=arguments.name,
    )
    print(f"pinecone stand-in listening on {stand_in.url}", flush=True)  # noqa: T201 - what a launcher waits for
    await stopped.wait()
    await stand_in.stop()


def main() -> None:
    """Run; exit 1 with one line if the port or the folder is taken."""
    try:
        uvloop.run(_run(_arguments()))
    except OSError as error:
        sys.exit(f"pinecone stand-in: {error}")


if __name__ == "__main__":
    main()
