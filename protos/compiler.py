"""The pinned protoc, run over our sources. Beside `build.py`, which says what is made."""

import importlib.util
import pathlib
import subprocess
import sys
from collections.abc import Sequence

SOURCES = pathlib.Path(__file__).resolve().parent

# Envoy turns a status's details into JSON by these; without them it answers an empty body.
ERROR_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")


def googleapis() -> pathlib.Path:
    """The folder that google/api and google/rpc lie in, of the package googleapis-common-protos."""
    spec = importlib.util.find_spec("google.api.http_pb2")
    if spec is None or spec.origin is None:
        sys.exit("googleapis-common-protos is not installed; run `make install`")
    return pathlib.Path(spec.origin).parent.parent.parent


def protos() -> Sequence[str]:
    """Our sources, as protoc wants to be told of them."""
    return [str(path.relative_to(SOURCES)) for path in sorted(SOURCES.rglob("*.proto"))]


def run(*arguments: str) -> None:
    """Run protoc over what the arguments name."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCES}", f"-I{googleapis()}", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def describe(target: pathlib.Path) -> None:
    """Write the descriptors of all our protos, of what they import and of error details, with their comments."""
    described = f"--descriptor_set_out={target}"
    run("--include_imports", "--include_source_info", described, *protos(), *ERROR_DETAILS)
