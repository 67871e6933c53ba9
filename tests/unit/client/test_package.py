"""What `pip install ./clients/python` installs: built without a network, by the locked tools, also from an sdist."""

import importlib.util
import pathlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "clients" / "python"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]


def build(folder: pathlib.Path, into: pathlib.Path, kind: str) -> pathlib.Path:
    """Build as pip does, without isolation: what stands in the lock is all that there is."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(into)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (made,) = into.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build(PACKAGE, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build(PACKAGE, tmp_path_factory.mktemp("wheel"), "wheel")


def content(wheel: pathlib.Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_wheel_has_the_client_its_messages_and_nothing_else(wheel: pathlib.Path) -> None:
    found = content(wheel)
    own = {path.relative_to(PACKAGE / "src").as_posix() for path in (PACKAGE / "src").rglob("*") if path.is_file()}
    own = {name for name in own if "__pycache__" not in name}
    messages = {
        f"vectorline_messages/{name}" for name in ("__init__.py", "messages.py", "descriptors.binpb", "py.typed")
    }
    assert {name for name in found if ".dist-info/" not in name} == own | messages
    assert "vectorline_client/py.typed" in found
    metadata = next(data for name, data in found.items() if name.endswith("METADATA")).decode()
    needed = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [name.partition(">")[0] for name in needed] == ["grpcio", "protobuf"]


def test_a_source_distribution_needs_neither_protos_nor_protoc(
    sdist: pathlib.Path, wheel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert not list(folder.rglob("*.proto"))
    hook = (folder / "hatch_build.py").read_text()
    assert "grpcio-tools" in hook, "in the repository it is asked for"
    again = content(build(folder, tmp_path / "out", "wheel"))
    first = content(wheel)
    assert {name: data for name, data in again.items() if "RECORD" not in name} == {
        name: data for name, data in first.items() if "RECORD" not in name
    }


def test_an_installed_wheel_imports_without_the_repository(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.path = [sys.argv[1]] + [p for p in sys.path if not p.startswith(sys.argv[2]) or '.venv' in p];"
        "import vectorline_client, vectorline_messages; print(vectorline_client.__file__, vectorline_messages.__file__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(ROOT)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(tmp_path)) for path in run.stdout.split())


def test_it_is_of_the_same_version_as_the_line() -> None:
    line = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (PROJECT["version"], PROJECT["requires-python"]) == (line["version"], line["requires-python"])


def test_what_is_committed_of_the_synchronous_client_is_made_of_the_other() -> None:
    spec = importlib.util.spec_from_file_location("unasync", PACKAGE / "unasync.py")
    assert spec is not None
    assert spec.loader is not None
    unasync = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unasync)
    made = unasync.made()
    by_hand = {unasync.PACKAGE / "_sync" / name for name in unasync.BY_HAND}
    assert set((unasync.PACKAGE / "_sync").glob("*.py")) == set(made) | by_hand
    for path, text in made.items():
        assert path.read_text() == text, f"run python clients/python/unasync.py: {path.name}"
    assert unasync.converted("async with AsyncThing() as a:\n    await a.aclose()  # async\n") == (
        "with Thing() as a:\n    a.close()  # async\n"
    )
