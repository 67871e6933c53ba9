"""Builds what the protos turn into: Python modules, the descriptor set that Envoy transcodes by, and openapi.json.

Everything lands in ``build/`` and is never committed. The proto folder equals the proto package equals the Python
import (``protos/vectorline/v1`` is ``vectorline.v1``), so nothing rewrites imports.
"""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import openapi  # beside this file: it is run as a script

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
MODULES = ROOT / "build" / "protos"
DESCRIPTORS = MODULES / "vectorline.binpb"
OPENAPI = MODULES / "openapi.json"
GOOGLEAPIS = ROOT / "build" / "googleapis"

# Envoy turns a status's details into JSON by these; without them it answers an empty body.
ERROR_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")


def copy_googleapis() -> pathlib.Path:
    """Copy google/api and google/rpc out of the locked package, for buf, and return the folder they came from."""
    spec = importlib.util.find_spec("google.api.http_pb2")
    if spec is None or spec.origin is None:
        sys.exit("googleapis-common-protos is not installed; run `make install`")
    installed = pathlib.Path(spec.origin).parent.parent.parent
    for package in ("api", "rpc"):
        target = GOOGLEAPIS / "google" / package
        target.mkdir(parents=True, exist_ok=True)
        for proto in (installed / "google" / package).glob("*.proto"):
            shutil.copy(proto, target)
    return installed


def protoc(googleapis: pathlib.Path, *arguments: str) -> None:
    """Run the pinned protoc over our sources."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}", f"-I{googleapis}", *arguments]
    subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)


def main() -> None:
    """Build modules, stubs, descriptors and the description of the REST face."""
    googleapis = copy_googleapis()
    MODULES.mkdir(parents=True, exist_ok=True)
    protos = [str(path.relative_to(SOURCES)) for path in sorted(SOURCES.rglob("*.proto"))]
    outputs = [f"--{kind}_out={MODULES}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    protoc(googleapis, *outputs, *protos)
    descriptors = f"--descriptor_set_out={DESCRIPTORS}"
    protoc(googleapis, "--include_imports", "--include_source_info", descriptors, *protos, *ERROR_DETAILS)
    OPENAPI.write_text(json.dumps(openapi.document(DESCRIPTORS.read_bytes())) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
