"""Builds what the protos turn into: Python modules, Envoy's descriptor set, openapi.json, the client's messages.

Everything lands in ``build/`` and is never committed. The proto folder equals the proto package equals the Python
import (``protos/vectorline/v1`` is ``vectorline.v1``), so nothing rewrites imports.
"""

import json
import os
import pathlib
import shutil

import client  # these three stand beside this file: it is run as a script
import compiler
import openapi

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = ROOT / "build" / "protos"
DESCRIPTORS = MODULES / "vectorline.binpb"
OPENAPI = MODULES / "openapi.json"
GOOGLEAPIS = ROOT / "build" / "googleapis"
CLIENT = ROOT / "clients" / "python" / "src" / "vectorline_client"


def copy_googleapis() -> None:
    """Copy google/api and google/rpc out of the locked package, for buf."""
    installed = compiler.googleapis()
    for package in ("api", "rpc"):
        target = GOOGLEAPIS / "google" / package
        target.mkdir(parents=True, exist_ok=True)
        for proto in (installed / "google" / package).glob("*.proto"):
            shutil.copy(proto, target)


def link_client() -> None:
    """Put the client beside its messages, so that the one folder on the path has all of both."""
    link = MODULES / CLIENT.name
    link.unlink(missing_ok=True)
    if CLIENT.exists():  # an image that is built for the services alone may do without
        link.symlink_to(os.path.relpath(CLIENT, MODULES), target_is_directory=True)


def main() -> None:
    """Build modules, stubs, descriptors, the description of the REST face and the client's messages."""
    copy_googleapis()
    MODULES.mkdir(parents=True, exist_ok=True)
    compiler.run(
        *(f"--{kind}_out={MODULES}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")), *compiler.protos()
    )
    compiler.describe(DESCRIPTORS)
    client.build(DESCRIPTORS.read_bytes(), MODULES)
    link_client()
    OPENAPI.write_text(json.dumps(openapi.document(DESCRIPTORS.read_bytes())) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
