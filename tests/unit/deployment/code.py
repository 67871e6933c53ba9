"""What the code reads from the environment, found in the code itself."""

import ast
import importlib
import inspect
import json
import pathlib
from collections.abc import Iterator
from types import ModuleType

import pydantic

from services.runtime import settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
SERVICES = ("ingest", "embedder", "indexer")
MODULES = {name: f"services.{name}.__main__" for name in SERVICES} | {"init": "services.indexer.provision"}


def sections(module: str) -> list[type[settings.Section]]:
    """The settings classes that a program loads: the arguments of its calls of `load`."""
    program = importlib.import_module(module)
    return [_named(program, call.args[0]) for call in _loads(program)]


def _loads(program: ModuleType) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(inspect.getsource(program))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
            yield node


def _named(program: ModuleType, expression: ast.expr) -> type[settings.Section]:
    module, _, name = ast.unparse(expression).rpartition(".")
    found: type[settings.Section] = getattr(getattr(program, module), name)
    return found


def variables(name: str) -> set[str]:
    """The environment variables of a service."""
    return {field.upper() for section in sections(MODULES[name]) for field in section.model_fields}


def defaults() -> dict[str, set[str]]:
    """Variable to its defaults as text, over all services; nothing for one without a default or of None."""
    found: dict[str, set[str]] = {}
    for module in MODULES.values():
        for section in sections(module):
            for name, field in section.model_fields.items():
                texts = found.setdefault(name.upper(), set())
                if not field.is_required() and field.default is not None:
                    texts.add(_text(field.default))
    return found


def secrets() -> set[str]:
    """Variables whose values are never shown."""
    return {
        name.upper()
        for module in MODULES.values()
        for section in sections(module)
        for name, field in section.model_fields.items()
        if field.annotation is pydantic.SecretStr
    }


def _text(default: object) -> str:
    if isinstance(default, pydantic.SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, dict):
        return json.dumps(default)
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)
