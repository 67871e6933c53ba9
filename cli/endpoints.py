"""Where the line is: addresses and key, from flags, a profile, the environment or what ``make up`` wrote."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Final

import vectorline_client
from cli import failures, profiles
from vectorline_client import connection

RUN_FOLDER: Final = ".run"
FILE_NAME: Final = "endpoints.env"

PROFILE_VARIABLE: Final = "VECTORLINE_PROFILE"
_WHERE: Final = (connection.GATEWAY_VARIABLE, *connection.VARIABLES.values())


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """What is known about the line. A service whose address is not known is absent from `addresses`.

    Attributes:
        addresses: Service name (ingest, embedder, indexer) to gRPC target, e.g. ``127.0.0.1:50051``.
        api_key: Sent as the metadata ``x-api-key``; empty: none is sent.
        tls: Speak TLS; plaintext otherwise.
        gateway: Its URL; empty: not known. Where a service has no address of its own, this is it.
    """

    addresses: Mapping[str, str]
    api_key: str = dataclasses.field(default="", repr=False)
    tls: bool = False
    gateway: str = ""

    def client(self, seconds: float) -> vectorline_client.Client:
        """A client of it.

        Raises:
            failures.CommandError: No address is known, or one is none.
        """
        where: str | dict[str, str] = self.gateway if self.gateway and not self.addresses else dict(self.addresses)
        if not where:
            raise failures.nowhere()
        try:
            return vectorline_client.Client(where, api_key=self.api_key, tls=self.tls or None, timeout=seconds)
        except (ValueError, OSError) as error:
            raise failures.CommandError(str(error), exit_code=failures.ExitCode.USAGE) from error


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
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    folder: pathlib.Path,
    *,
    tls: bool = False,
    profile: str | None = None,
) -> Endpoints:
    """Addresses and key come from one origin, so that no key reaches an address that it was not meant for.

    The origins, of which the first that names an address counts: a profile that is asked for by name; flags and the
    environment (flags win); the profile that VECTORLINE_PROFILE names, or that is in use; the file of ``make up``. A
    key given as a flag always counts.

    Args:
        flags: Variable name to what was given on the command line, None where nothing was.
        environ: The process's environment.
        folder: Where the search for the file begins.
        tls: Speak TLS.
        profile: The profile's name, if one was asked for.

    Raises:
        failures.CommandError: There is no such profile.
    """
    asked = profile
    said = {name: flags.get(name) or environ.get(name) or "" for name in (*_WHERE, connection.KEY_VARIABLE)}
    if asked is None and not any(said[name] for name in _WHERE):
        asked = environ.get(PROFILE_VARIABLE) or profiles.in_use(environ)
        if asked is None and (file := find_file(folder, environ)) is not None:
            said = read_file(file)
    if asked is not None:
        chosen = profiles.get(asked, environ)
        key = flags.get(connection.KEY_VARIABLE) or profiles.key_of(asked, chosen)
        return Endpoints(addresses=chosen.services, api_key=key, tls=tls or chosen.tls, gateway=chosen.gateway)
    addresses = {service: said[name] for service, name in connection.VARIABLES.items() if said.get(name)}
    key = flags.get(connection.KEY_VARIABLE) or said.get(connection.KEY_VARIABLE, "")
    return Endpoints(addresses=addresses, api_key=key, tls=tls, gateway=said.get(connection.GATEWAY_VARIABLE, ""))
