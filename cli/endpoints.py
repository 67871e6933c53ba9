"""Where the line is: addresses and key, from flags, the environment or what ``make up`` wrote."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Final

RUN_FOLDER: Final = ".run"
FILE_NAME: Final = "endpoints.env"

ADDRESS_VARIABLES: Final = {"ingest": "INGEST_ADDR", "embedder": "EMBEDDER_ADDR", "indexer": "INDEXER_ADDR"}
KEY_VARIABLE: Final = "API_KEY"


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """What is known about the line. A service whose address is not known is absent from `addresses`.

    Attributes:
        addresses: Service name (ingest, embedder, indexer) to gRPC target, e.g. ``127.0.0.1:50051``.
        api_key: Sent as the metadata ``x-api-key``; empty: none is sent.
        tls: Speak TLS; plaintext otherwise.
    """

    addresses: Mapping[str, str]
    api_key: str = dataclasses.field(default="", repr=False)
    tls: bool = False


def find_file(folder: pathlib.Path, environ: Mapping[str, str]) -> pathlib.Path | None:
    """The nearest ``.run/endpoints.env`` in `folder` or above it; RUN_DIR, when set, names the only place to look."""
    if run_folder := environ.get("RUN_DIR"):
        file = pathlib.Path(run_folder) / FILE_NAME
        return file if file.is_file() else None
    for parent in (folder, *folder.parents):
        file = parent / RUN_FOLDER / FILE_NAME
        if file.is_file():
            return file
    return None


def read_file(file: pathlib.Path) -> dict[str, str]:
    """KEY=VALUE lines; blank lines, comments, ``export`` and quotes around a value are understood."""
    values = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            values[name.strip()] = value.strip().strip("'\"")
    return values


def resolve(
    flags: Mapping[str, str | None], environ: Mapping[str, str], folder: pathlib.Path, *, tls: bool = False
) -> Endpoints:
    """Addresses and key come from one origin, so that no key reaches an address that it was not meant for.

    Flags and the environment are one (flags win), the file is the other. The file counts where the first names no
    address; a key given as a flag always counts.

    Args:
        flags: Variable name to what was given on the command line, None where nothing was.
        environ: The process's environment.
        folder: Where the search for the file begins.
        tls: Speak TLS.
    """
    said = {name: flags.get(name) or environ.get(name) or "" for name in (*ADDRESS_VARIABLES.values(), KEY_VARIABLE)}
    if not any(said[name] for name in ADDRESS_VARIABLES.values()) and (file := find_file(folder, environ)):
        said = read_file(file)
    addresses = {service: said[name] for service, name in ADDRESS_VARIABLES.items() if said.get(name)}
    return Endpoints(addresses=addresses, api_key=flags.get(KEY_VARIABLE) or said.get(KEY_VARIABLE, ""), tls=tls)
