"""The fields of an answer that ``--fields`` asks for, by their paths: task_id, progress.total_records."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import typer

import vectorline_client


def parsed(comma_separated: str) -> tuple[str, ...]:
    """The paths, in their order."""
    return tuple(name.strip() for name in comma_separated.split(",") if name.strip())


def chosen(answer: Any, paths: tuple[str, ...]) -> dict[str, Any]:
    """Path to value; null where it is not set.

    Raises:
        typer.BadParameter: The answer never has such a field.
    """
    return of(vectorline_client.as_dict(answer), type(answer), paths)


def of(whole: Mapping[str, Any], kind: type, paths: tuple[str, ...]) -> dict[str, Any]:
    """The same of an answer that is a document already, and of which dataclass.

    Raises:
        typer.BadParameter: Such a dataclass never has such a field.
    """
    return {path: _value(whole, kind, path) for path in paths}


def _value(whole: Mapping[str, Any], kind: Any, path: str) -> Any:
    value: Any = whole
    for step in path.split("."):
        known = _fields(kind)
        if known is not None and step not in known:
            where = f" of {kind.__name__}"
            raise typer.BadParameter(f"There is no {step!r}{where}: {', '.join(known)}.", param_hint="--fields")
        kind = known[step] if known is not None else None
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _fields(kind: Any) -> dict[str, Any] | None:
    """The fields of a message by name, with what they are; None: it is none, and may hold anything."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    hints = typing.get_type_hints(kind)
    return {field.name.rstrip("_"): _inner(hints[field.name]) for field in dataclasses.fields(kind)}


def _inner(hint: Any) -> Any:
    """The message that a field holds or may hold; of several, e.g. a list, none."""
    arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
    return arms[0] if len(arms) == 1 and type(None) in typing.get_args(hint) else hint
