"""What builds the images, on packages of this machine: what is left out, what is compiled, what is listed."""

import importlib.metadata
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from types import ModuleType

import pytest

from tests.unit.deployment import code

IMAGES = code.ROOT / "deploy" / "images"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, IMAGES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


prune, sbom = module("prune"), module("sbom")


def packages(folder: pathlib.Path, *files: str) -> pathlib.Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x" * 100)
    return folder


def test_tests_sources_and_unused_descriptions_go_and_everything_else_stays(tmp_path: pathlib.Path) -> None:
    goes = {
        "pandas/tests/io/test_csv.py",
        "numpy/linalg/tests/test_linalg.py",
        "uvloop/loop.pyx",
        "zstandard/_cffi.cpython-311-x86_64-linux-gnu.so",
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
    }
    stays = {
        "pandas/core/frame.py",
        "numpy/testing/__init__.py",
        "zstandard/backend_c.cpython-311-x86_64-linux-gnu.so",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "botocore/data/endpoints.json",
        "tests/anything.py",
    }
    folder = packages(tmp_path, *goes, *stays)

    freed = prune.prune(folder)

    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == stays
    assert freed == 100 * len(goes)


def test_every_client_of_aws_that_the_services_make_keeps_its_description() -> None:
    text = "".join(path.read_text() for folder in ("services", "cli") for path in (code.ROOT / folder).rglob("*.py"))
    made = set(re.findall(r'(?:boto3|session)\.client\(\s*"([\w-]+)"', text))

    assert {"dynamodb", "s3", "secretsmanager"} <= made
    assert made <= prune.AWS


def test_a_pruned_name_is_one_that_the_packages_have() -> None:
    """A package that was rearranged would be left whole, unnoticed."""
    here = pathlib.Path(sysconfig.get_path("platlib"))

    for pattern in (*prune.FOLDERS, "zstandard/_cffi.*.so"):
        assert any(here.glob(pattern)), pattern


@pytest.mark.skipif(sys.platform != "linux", reason="extensions are ELF files on Linux only")
def test_a_stripped_extension_is_smaller_and_works(tmp_path: pathlib.Path) -> None:
    installed = pathlib.Path(str(importlib.util.find_spec("zstandard").origin)).parent  # type: ignore[union-attr]
    shutil.copytree(installed, tmp_path / "zstandard")
    (library,) = (tmp_path / "zstandard").glob("backend_c.*.so")
    before = library.stat().st_size

    freed = prune.strip(library)

    assert library.stat().st_size == before - freed
    assert freed > before / 2
    script = (
        "import zstandard; z = zstandard; assert z.decompress(z.compress(b'x' * 99)) == b'x' * 99; print(z.__file__)"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(str(tmp_path))
    assert prune.strip(library) == 0  # it may be repeated


def test_what_is_no_extension_is_left_alone(tmp_path: pathlib.Path) -> None:
    for content in (b"", b"GROUP ( libm.so.6 )", b"\x7fELF\x01\x01" + bytes(58)):
        (tmp_path / "x.so").write_bytes(content)

        assert prune.strip(tmp_path / "x.so") == 0
        assert (tmp_path / "x.so").read_bytes() == content


def test_what_a_program_imports_is_compiled_and_nothing_else(tmp_path: pathlib.Path) -> None:
    packages(tmp_path / "code", "unused.py")
    (tmp_path / "code" / "program.py").write_text("import decimal\n")
    told = {"PYTHONPATH": str(tmp_path / "code"), "PYTHONPYCACHEPREFIX": str(tmp_path / "pyc")}
    command = [sys.executable, IMAGES / "bytecode.py", "program"]

    subprocess.run(command, env=told, check=True, capture_output=True)

    compiled = {path.name.partition(".")[0]: path for path in (tmp_path / "pyc").rglob("*.pyc")}
    assert {"program", "decimal", "numbers"} <= compiled.keys()
    assert "unused" not in compiled
    # Bit 0: checked by hash; bit 1: at each start (PEP 552).
    assert compiled["program"].read_bytes()[4] == 1


def test_without_a_place_for_bytecode_nothing_is_compiled() -> None:
    ran = subprocess.run([sys.executable, IMAGES / "bytecode.py", "os"], env={}, check=False, capture_output=True)

    assert ran.returncode == 2
    assert b"PYTHONPYCACHEPREFIX" in ran.stderr


def test_each_program_of_the_image_is_compiled() -> None:
    text = (code.ROOT / "Dockerfile").read_text()
    compiled = {name for line in re.findall(r"bytecode\.py ((?:.*\\\n)*.*)", text) for name in line.split()}

    assert compiled >= {*code.MODULES.values(), "services.runtime.probe", "gateway.render"}


def test_the_list_holds_each_package_with_the_locks_hashes(tmp_path: pathlib.Path) -> None:
    some = f"Some_Thing==1.0 ; python_version < '4' \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n"
    lock = f"{some}    # via other\nother==2.0 \\\n    --hash=sha256:{'c' * 64}\n"
    installed = [
        {"Name": "other", "Version": "2.0", "License-Expression": "MIT"},
        {"Name": "some.thing", "Version": "1.0"},
    ]

    listed = sbom.document(sbom.locked(lock), installed)

    assert [each["purl"] for each in listed["components"]] == ["pkg:pypi/other@2.0", "pkg:pypi/some-thing@1.0"]
    assert [each["content"][0] for each in listed["components"][1]["hashes"]] == ["a", "b"]
    assert listed["components"][0]["licenses"] == [{"expression": "MIT"}]
    assert listed == sbom.document(sbom.locked(lock), reversed(installed))


@pytest.mark.parametrize("version", ["2.0", "1.0.1"])
def test_a_package_that_the_lock_does_not_name_ends_the_build(version: str) -> None:
    lock = sbom.locked("thing==1.0 \\\n    --hash=sha256:" + "a" * 64 + "\n")

    with pytest.raises(sbom.Unlocked, match=f"thing {version} is installed"):
        sbom.document(lock, [{"Name": "thing", "Version": version}])


def test_the_list_is_written_of_what_is_installed(tmp_path: pathlib.Path) -> None:
    every = "".join(
        f"{each.metadata['Name']}=={each.version} \\\n    --hash=sha256:{'0' * 64}\n"
        for each in importlib.metadata.distributions()
    )
    (tmp_path / "lock").write_text(every)

    assert sbom.main([str(tmp_path / "lock"), str(tmp_path / "list.json")]) == 0

    listed = json.loads((tmp_path / "list.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    assert "grpcio" in {each["name"] for each in listed["components"]}
