"""A configuration as processes would read it now, for people: ``vectorline config``, which knows all sections."""

import dataclasses
import enum
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import pydantic
import pydantic_core

from services.runtime import secrets, settings

MASK: Final = "********"
# A password in an address that is no secret by its type.
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")


class Origin(enum.StrEnum):
    """Where a value comes from."""

    ENVIRONMENT = "environment"
    DEFAULT = "default"
    MISSING = "missing"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One variable.

    Attributes:
        group: What it is about.
        name: The environment variable.
        value: Its effective value as text; secrets are masked. None: not set.
        origin: Where that comes from.
        description: What it does.
        problem: Why it cannot be used; empty: it can.
    """

    group: str
    name: str
    value: str | None
    origin: Origin
    description: str
    problem: str = ""


def effective(sections: Iterable[tuple[str, type[settings.Section]]]) -> list[Setting]:
    """All settings of these sections, grouped. One that two of them read differently stands in two groups.

    Args:
        sections: Group, and the class of its variables. What a class inherits from one before it is shown there.
    """
    found: list[Setting] = []
    seen: set[Setting] = set()
    given = {name: value for name, value in os.environ.items() if value}  # an empty one counts as unset
    for group, section in sections:
        for setting in _section(group, section, given):
            alike = dataclasses.replace(setting, group="", description="")
            if alike not in seen:
                seen.add(alike)
                found.append(setting)
    return found


def _section(group: str, section: type[settings.Section], given: Mapping[str, str]) -> Iterator[Setting]:
    values, problems = _read(section)
    of_all = problems.pop("", "")  # about several variables together
    for name, field in section.model_fields.items():
        variable = name.upper()
        secret = field.annotation is pydantic.SecretStr
        if variable in given:
            origin = Origin.ENVIRONMENT
            # A wrong value is shown as it was given.
            value = _text(values.get(name, given[variable]), secret=secret)
        elif field.is_required():
            origin, value = Origin.MISSING, None
        else:
            origin, value = Origin.DEFAULT, _text(field.get_default(call_default_factory=True), secret=secret)
        problem = problems.get(variable, "") or (of_all if origin is Origin.ENVIRONMENT else "")
        yield Setting(group, variable, value, origin, field.description or "", problem)


def _read(section: type[settings.Section]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a section, or what is wrong with them by variable; "" for several together."""
    try:
        loaded = section()
    except pydantic.ValidationError as error:
        problems: dict[str, str] = {}
        for problem in error.errors(include_url=False, include_input=False):
            place = str(problem["loc"][0]).upper() if problem["loc"] else ""
            problems[place] = _words(problem)
        return {}, problems
    return {name: getattr(loaded, name) for name in section.model_fields}, {}


def _words(problem: pydantic_core.ErrorDetails) -> str:
    return "required" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")


def _text(value: object, *, secret: bool) -> str | None:
    if secret:
        held = value.get_secret_value() if isinstance(value, pydantic.SecretStr) else str(value)
        if secrets.ARN.fullmatch(held):
            return held  # the name of a secret is none
        return MASK if held else None
    if value is None or value in ("", ()):
        return None
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, tuple | list):
        text = ",".join(map(str, value))
    elif isinstance(value, dict):
        text = json.dumps(value)
    else:
        text = str(value)
    return _CREDENTIALS.sub(MASK, text)
