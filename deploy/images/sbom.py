"""Writes which packages an image holds: `python sbom.py LOCK FILE`, as CycloneDX 1.6 (cyclonedx.org/docs/1.6/json).

What is installed is compared with the lock: a package that it does not name, or names in another version, ends the
build. The hashes are the lock's, of every wheel that it allows. What the base image brings is that image's own to list.
"""

import importlib.metadata
import json
import pathlib
import re
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# A package begins where a line does; its hashes stand indented below it.
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
Locked = dict[tuple[str, str], list[str]]


class Unlocked(Exception):
    """What is installed is not what the lock says."""


def normal(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> Locked:
    """Name and version to hashes. A name may stand in several versions, for several platforms."""
    return {(normal(name), version): HASH.findall(rest) for name, version, rest in PINNED.findall(text)}


def component(package: Mapping[str, Any], hashes: Iterable[str]) -> dict[str, Any]:
    """One package in CycloneDX's words."""
    name, version = normal(package["Name"]), package["Version"]
    purl = f"pkg:pypi/{name}@{version}"
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
    }
    if said := package.get("License-Expression"):
        found["licenses"] = [{"expression": said}]
    elif said := package.get("License"):
        found["licenses"] = [{"license": {"name": said.splitlines()[0][:200]}}]
    return found


def document(lock: Locked, installed: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole list.

    Raises:
        Unlocked: A package is not in the lock.
    """
    components = []
    for package in sorted(installed, key=lambda each: normal(each["Name"])):
        pinned = (normal(package["Name"]), package["Version"])
        if pinned not in lock:
            raise Unlocked(f"{pinned[0]} {pinned[1]} is installed, and the lock does not name it")
        components.append(component(package, lock[pinned]))
    content = json.dumps(components, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same packages are the same document.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "vectorline", "name": "vectorline"}},
        "components": components,
    }


def main(arguments: Sequence[str]) -> int:
    """Write it; one line says how many packages there are."""
    lock, target = (pathlib.Path(argument) for argument in arguments)
    installed = [each.metadata for each in importlib.metadata.distributions()]
    try:
        listed = document(locked(lock.read_text()), installed)  # type: ignore[arg-type]  # a message is a mapping of its heads
    except Unlocked as error:
        sys.stderr.write(f"{error}\n")
        return 1
    target.write_text(json.dumps(listed, indent=1) + "\n")
    sys.stdout.write(f"{len(listed['components'])} packages are listed in {target}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
