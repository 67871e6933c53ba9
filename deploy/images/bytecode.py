"""Compiles what programs import: `python bytecode.py MODULE…`, below PYTHONPYCACHEPREFIX.

Bytecode of all packages is 90 MB; without any, a service compiles for seconds at each start, since nothing can be
written where it runs. So each program's modules are imported once, and exactly the files that this opened are
compiled: the standard library's too, of which Python's image brings no bytecode. The files never change afterwards (the
image is read-only), so they are not compared at each start (PEP 552, unchecked-hash).
"""

import importlib
import os
import pathlib
import py_compile
import sys
from collections.abc import Iterator, Sequence


def sources() -> Iterator[pathlib.Path]:
    """The files of all modules that are imported by now."""
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        origin = spec.origin if spec is not None and spec.has_location else None
        if origin and origin.endswith(".py"):
            yield pathlib.Path(origin)


def main(modules: Sequence[str]) -> int:
    """Import and compile; how many files there are is printed."""
    if sys.pycache_prefix is None:
        sys.stderr.write("PYTHONPYCACHEPREFIX says where the bytecode goes, and is not set\n")
        return 2
    for name in modules:
        importlib.import_module(name)
    found = sorted(set(sources()))
    for path in found:
        py_compile.compile(
            os.fspath(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    sys.stdout.write(f"{len(found)} files compiled into {sys.pycache_prefix}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
