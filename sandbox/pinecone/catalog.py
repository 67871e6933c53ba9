"""The indexes that exist, what is in them, and the port that each is dialled on; kept in a folder."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sandbox.pinecone import errors, store

# The kinds of index, fixed when it is created.
DENSE, SPARSE, DOCUMENT = "dense", "sparse", "document"
MAIN_PORT = 0  # stands for whatever port the process was started with
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")


@dataclass(slots=True)
class Settings:
    """What describe_index tells about an index."""

    name: str
    dimension: int
    metric: str
    cloud: str = "aws"
    region: str = "us-east-1"
    deletion_protection: str = "disabled"
    tags: dict[str, str] = field(default_factory=dict)
    port: int = MAIN_PORT
    kind: str = DENSE
    # The schema's fields of a document index, as it was created.
    fields: dict[str, Any] = field(default_factory=dict)


class Index:
    """One index: settings and namespaces. The default namespace is ""; `__default__` is another name for it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Open what is in the folder."""
        self.folder = folder
        self.settings = settings
        self.namespaces: dict[str, store.Namespace] = {}
        latest: dict[str, Path] = {}
        for path in sorted(folder.glob("namespaces/*")):
            stem = path.name.partition("-")[0]
            # A kill may leave an unfinished rewrite or removal (.tmp), or the generation before a finished rewrite.
            leftover = path if path.suffix else latest.get(stem)
            if leftover is not None:
                shutil.rmtree(leftover)
            if not path.suffix:
                latest[stem] = path
        for path in latest.values():
            self._open(path)

    def _open(self, path: Path) -> None:
        name = store.Namespace.stored_name(path)
        if name is None:  # killed before its first write
            shutil.rmtree(path)
            return
        namespace = store.Namespace(path, name, self.settings.dimension)
        if namespace.worth_rewriting():
            namespace = self._rewrite(namespace)
        self.namespaces[name] = namespace

    def _rewrite(self, namespace: store.Namespace) -> store.Namespace:
        """Copy the live vectors to a folder of the next generation, then drop the old one."""
        path = namespace.folder
        stem, _, generation = path.name.partition("-")
        fresh = path.with_name(f"{stem}-{int(generation) + 1:06d}")
        unfinished = fresh.with_name(f"{fresh.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        namespace.copy_to(unfinished)
        unfinished.rename(fresh)
        shutil.rmtree(path)
        return store.Namespace(fresh, namespace.name, self.settings.dimension)

    def check_vectors(self) -> None:
        """Refuse vectors where the index keeps documents.

        Raises:
            ApiError: INVALID_ARGUMENT.

        """
        if self.settings.kind == DOCUMENT:
            raise errors.wrong_plane()

    def save(self) -> None:
        """Write the settings, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / "index.json.tmp"
        unfinished.write_bytes(orjson.dumps(asdict(self.settings)))
        unfinished.rename(self.folder / "index.json")

    def find(self, name: str) -> store.Namespace | None:
        """Return a namespace, None if nothing was ever written to it."""
        return self.namespaces.get(canonical(name))

    def get(self, name: str) -> store.Namespace:
        """Return a namespace.

        Raises:
            ApiError: NOT_FOUND.

        """
        namespace = self.find(name)
        if namespace is None:
            raise errors.ApiError(errors.Code.NOT_FOUND, "Namespace not found")
        return namespace

    def get_or_create(self, name: str, schema: dict[str, Any] | None = None, lsn: int = 0) -> store.Namespace:
        """Return a namespace, created if absent; then its log begins after `lsn`."""
        name = canonical(name)
        if name not in self.namespaces:
            stem = hashlib.sha256(name.encode()).hexdigest()[:32]
            path = self.folder / "namespaces" / f"{stem}-000000"
            self.namespaces[name] = store.Namespace(path, name, self.settings.dimension, schema, lsn)
        return self.namespaces[name]

    def drop(self, name: str) -> None:
        """Delete a namespace and all that is in it."""
        namespace = self.get(name)
        del self.namespaces[namespace.name]
        _remove(namespace.folder)

    def clear(self, name: str) -> None:
        """Delete all vectors of a namespace and leave it in place: its log goes on."""
        before = self.get(name)
        self.drop(name)
        self.get_or_create(name, before.schema, before.lsn + 1)


class Catalog:
    """All indexes of the process.

    Real Pinecone gives each index a host of its own. Here the first index is dialled on the port of the process and
    every further one on a port of its own, which survives restarts.
    """

    def __init__(self, folder: Path) -> None:
        """Open what is in the folder."""
        self._folder = folder / "indexes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._indexes: dict[str, Index] = {}
        for path in self._folder.glob("*.tmp"):  # a removal that was killed
            shutil.rmtree(path)
        for path in sorted(self._folder.glob("*/index.json")):
            self._indexes[path.parent.name] = Index(path.parent, Settings(**orjson.loads(path.read_bytes())))

    def __iter__(self) -> Iterator[Index]:
        """Iterate over the indexes by name."""
        return iter([self._indexes[name] for name in sorted(self._indexes)])

    def get(self, name: str) -> Index:
        """Return an index.

        Raises:
            ApiError: NOT_FOUND.

        """
        if name not in self._indexes:
            raise errors.ApiError(errors.Code.NOT_FOUND, f"Resource {name} not found")
        return self._indexes[name]

    def on_port(self, port: int) -> Index:
        """Return the index that is dialled on a port (`MAIN_PORT` for the process's own).

        Raises:
            ApiError: NOT_FOUND.

        """
        for index in self._indexes.values():
            if index.settings.port == port:
                return index
        raise errors.ApiError(errors.Code.NOT_FOUND, "Index not found")

    def is_free(self, port: int) -> bool:
        """Whether no index is dialled on the port."""
        return all(index.settings.port != port for index in self._indexes.values())

    def check_name(self, name: Any) -> str:
        """Refuse a name that Pinecone refuses, or that is taken."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise errors.invalid(
                "Name must consist of lower case alphanumeric characters or '-', must not begin or end with '-', "
                "and must be at most 45 characters"
            )
        if name in self._indexes:
            raise errors.ApiError(errors.Code.ALREADY_EXISTS, f"Resource {name} already exists")
        return name

    def create(self, settings: Settings) -> Index:
        """Create an index whose name was checked."""
        index = Index(self._folder / settings.name, settings)
        index.save()
        self._indexes[settings.name] = index
        return index

    def delete(self, name: str) -> Index:
        """Delete an index and all that is in it.

        Raises:
            ApiError: NOT_FOUND, or PERMISSION_DENIED if it is protected.

        """
        index = self.get(name)
        if index.settings.deletion_protection == "enabled":
            raise errors.ApiError(
                errors.Code.PERMISSION_DENIED,
                "Deletion protection is enabled for this index. Disable deletion protection before retrying.",
            )
        del self._indexes[name]
        _remove(index.folder)
        return index


def _remove(folder: Path) -> None:
    """Remove a folder; a kill in the middle leaves nothing that looks whole."""
    doomed = folder.with_name(f"{folder.name}.tmp")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def canonical(name: str) -> str:
    """Return the default namespace's one name, "", for both of its names."""
    return "" if name == "__default__" else name


def shown(name: str) -> str:
    """Return a namespace's name as stats and listings print it."""
    return name or "__default__"
