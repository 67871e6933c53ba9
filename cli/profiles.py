"""Named lines: addresses in a file of the user's, keys in the keyring where there is one, else beside them.

The file is ``$XDG_CONFIG_HOME/vectorline/profiles.json`` (or ``~/.config``), readable by its owner alone. The keyring
is that of the package ``keyring``, if it is installed and has a place to keep secrets in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Final

from cli import failures

SERVICE: Final = "vectorline"
KEPT_IN_KEYRING: Final = "keyring"
KEPT_IN_FILE: Final = "file"


@dataclasses.dataclass(frozen=True)
class Profile:
    """A line.

    Attributes:
        gateway: The gateway's URL; empty: the services have addresses of their own.
        services: Those addresses, by service.
        tls: Speak TLS to the services.
        key: The key, where it is kept in the file.
        key_kept: In the keyring, or in the file; empty: there is none.
    """

    gateway: str = ""
    services: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tls: bool = False
    key: str = dataclasses.field(default="", repr=False)
    key_kept: str = ""

    @property
    def where(self) -> str:
        """Its address in words."""
        return self.gateway or ", ".join(f"{name} {address}" for name, address in sorted(self.services.items()))


def path(environ: Mapping[str, str]) -> pathlib.Path:
    """The file.

    Raises:
        failures.CommandError: Whoever runs this has no home.
    """
    folder = _folder(environ)
    if folder is None:
        raise failures.CommandError(
            "There is no place for profiles.", exit_code=failures.ExitCode.USAGE, hint="Set XDG_CONFIG_HOME or HOME."
        )
    return folder / "profiles.json"


def _folder(environ: Mapping[str, str]) -> pathlib.Path | None:
    if base := environ.get("XDG_CONFIG_HOME"):
        return pathlib.Path(base) / "vectorline"
    return pathlib.Path(environ["HOME"]) / ".config" / "vectorline" if environ.get("HOME") else None


def all_of(environ: Mapping[str, str]) -> dict[str, Profile]:
    """The profiles by name.

    Raises:
        failures.CommandError: The file cannot be read.
    """
    return {name: Profile(**each) for name, each in _read(environ).get("profiles", {}).items()}


def in_use(environ: Mapping[str, str]) -> str | None:
    """The profile that is used where nothing else is said."""
    name = _read(environ).get("use")
    return str(name) if name else None


def get(name: str, environ: Mapping[str, str]) -> Profile:
    """A profile.

    Raises:
        failures.CommandError: There is none of that name.
    """
    known = all_of(environ)
    if name not in known:
        there = f"There are {', '.join(sorted(known))}." if known else "vectorline profile add makes one."
        raise failures.CommandError(f"There is no profile {name!r}.", exit_code=failures.ExitCode.USAGE, hint=there)
    return known[name]


def key_of(name: str, profile: Profile) -> str:
    """Its key; empty: it has none.

    Raises:
        failures.CommandError: It is kept in a keyring that does not give it.
    """
    if profile.key_kept != KEPT_IN_KEYRING:
        return profile.key
    ring = _keyring()
    key = ring.get_password(SERVICE, name) if ring is not None else None
    if not key:
        raise failures.CommandError(
            f"The key of profile {name!r} is in a keyring that does not give it.",
            exit_code=failures.ExitCode.USAGE,
            hint="Unlock it, give the key by --api-key, or add the profile anew.",
        )
    return str(key)


def add(name: str, profile: Profile, key: str, environ: Mapping[str, str], *, use_keyring: bool = True) -> Profile:
    """Keep a profile, in place of one of the same name; the first is used from then on.

    Returns:
        The profile as it is kept.
    """
    ring = _keyring() if key and use_keyring else None
    if ring is not None:
        ring.set_password(SERVICE, name, key)
        kept = dataclasses.replace(profile, key="", key_kept=KEPT_IN_KEYRING)
    else:
        kept = dataclasses.replace(profile, key=key, key_kept=KEPT_IN_FILE if key else "")
    stored = _read(environ)
    stored.setdefault("profiles", {})[name] = dataclasses.asdict(kept)
    stored.setdefault("use", name)
    _write(stored, environ)
    return kept


def use(name: str | None, environ: Mapping[str, str]) -> None:
    """Use a profile where nothing else is said; None: none."""
    if name is not None:
        get(name, environ)
    _write({**_read(environ), "use": name}, environ)


def remove(name: str, environ: Mapping[str, str]) -> None:
    """Forget a profile and its key."""
    gone = get(name, environ)
    if gone.key_kept == KEPT_IN_KEYRING and (ring := _keyring()) is not None:
        with contextlib.suppress(Exception):  # each backend has its own; what it does not have is not there
            ring.delete_password(SERVICE, name)
    stored = _read(environ)
    del stored["profiles"][name]
    if stored.get("use") == name:
        stored["use"] = None
    _write(stored, environ)


def _keyring() -> Any:
    """The keyring; None: there is none, or it has no place to keep anything in."""
    try:
        ring = importlib.import_module("keyring")
        backend = ring.get_keyring()
    except Exception:  # not installed, or its backend fails to start, each in its own way
        return None
    return ring if getattr(backend, "priority", 0) > 0 else None


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    if _folder(environ) is None:
        return {}
    file = path(environ)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise failures.CommandError(
            f"{file} cannot be read: {error}.", exit_code=failures.ExitCode.USAGE, hint="Mend it, or take it away."
        ) from error
    if not isinstance(found, dict):
        raise failures.CommandError(f"{file} is no file of profiles.", exit_code=failures.ExitCode.USAGE)
    return found


def _write(stored: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Whole or not at all, and for nobody else's eyes."""
    file = path(environ)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(stored, stream, indent=2)
    fresh.replace(file)
