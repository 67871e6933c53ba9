"""Takes out of the image's packages what no service reads: `python prune.py`, of its own interpreter's packages.

Each entry says why it may go; what is not named stays. Of compiled extensions the symbols and sections for linkers and
debuggers go, a third of their bytes: a process is loaded by the program headers alone. `make containers` runs the line
on what is left.
"""

import itertools
import pathlib
import shutil
import struct
import sys
import sysconfig

# Test suites, and what only builds extensions: no service imports them.
FOLDERS = (
    "numpy/*/tests",
    "numpy/tests",
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/distutils",
    "numpy/f2py",
    "pandas/tests",
    "regex/tests",
)
# Sources of extensions that lie there compiled, and stubs for type checkers.
SUFFIXES = (".c", ".h", ".pxd", ".pyi", ".pyx")
# zstandard has three backends; CPython takes the first, and the second needs cffi, which is not installed.
FILES = ("zstandard/_cffi.*.so", "zstandard/_rust.*.so")
# botocore describes some 400 services of AWS. These are called: by ours, and by what finds credentials for them.
AWS = frozenset({"dynamodb", "s3", "secretsmanager", "sso", "sso-oidc", "signin", "sts"})


def doomed(packages: pathlib.Path) -> list[pathlib.Path]:
    """What goes, folders before what is in them."""
    folders = [path for pattern in FOLDERS for path in packages.glob(pattern)]
    models = [path for path in packages.glob("botocore/data/*") if path.is_dir() and path.name not in AWS]
    sources = (path for path in packages.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    files = [path for pattern in FILES for path in packages.glob(pattern)]
    return [*folders, *models, *itertools.chain(files, sources)]


def loaded_bytes(head: bytes, table: bytes) -> int:
    """Where what is loaded of an ELF file ends (ELF-64: e_phoff, e_phentsize, e_phnum; p_offset, p_filesz)."""
    size, count = struct.unpack_from("<2H", head, 54)
    ends = [len(head)]
    for number in range(count):
        offset, _, _, length = struct.unpack_from("<4Q", table, number * size + 8)
        ends.append(offset + length)
    return max(ends)


def strip(library: pathlib.Path) -> int:
    """Cut an extension off behind what is loaded of it; how many bytes that freed. What is no ELF-64 stays as it is."""
    with library.open("r+b") as file:
        head = bytearray(file.read(64))
        if head[:6] != b"\x7fELF\x02\x01":  # 64 bits, little endian
            return 0
        (table_at,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<2H", head, 54)
        file.seek(table_at)
        table = file.read(size * count)
        end: int = max(loaded_bytes(bytes(head), table), table_at + len(table))
        freed: int = file.seek(0, 2) - end
        struct.pack_into("<Q", head, 40, 0)  # e_shoff: there are no sections any more
        struct.pack_into("<3H", head, 58, 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
        file.seek(0)
        file.write(head)
        file.truncate(end)
    return freed


def prune(packages: pathlib.Path) -> int:
    """Delete and cut it; how many bytes that freed."""
    freed = 0
    for path in doomed(packages):
        if path.is_dir():
            freed += sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            shutil.rmtree(path)
        elif path.exists():
            freed += path.stat().st_size
            path.unlink()
    return freed + sum(strip(library) for library in packages.rglob("*.so*") if library.is_file())


if __name__ == "__main__":
    sys.stdout.write(f"{prune(pathlib.Path(sysconfig.get_path('platlib'))) // 1_000_000} MB are not in the image\n")
