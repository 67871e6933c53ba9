"""The configuration as the processes of the line would read it now, for people: ``vectorline config``.

Every settings class is named here by its import path, so that nothing is imported before somebody asks.
"""

import dataclasses
import enum
import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pydantic
import pydantic_core

from services.runtime import secrets, settings

# Group, and the class of its variables. What a class inherits from one before it is shown there.
SECTIONS: Final = (
    ("access", "services.runtime.settings:AccessSettings"),
    ("mTLS", "services.runtime.settings:TlsSettings"),
    ("process", "services.runtime.settings:ProcessSettings"),
    ("AWS", "services.runtime.aws:AwsSettings"),
    ("Valkey", "services.valkey.settings:ValkeySettings"),
    ("embedder: OpenAI", "services.embedder.settings:EmbeddingSettings"),
    ("ingest: sources", "services.ingest.settings:SourceSettings"),
    ("ingest: Metabase", "services.ingest.settings:MetabaseSettings"),
    ("ingest: requests", "services.ingest.settings:RequestSettings"),
    ("ingest: estimates", "services.ingest.settings:EstimateSettings"),
    ("ingest: splitting", "services.ingest.settings:SplitSettings"),
    ("embedder: work", "services.embedder.settings:WorkSettings"),
    ("indexer: AWS", "services.runtime.aws:CallerSettings"),
    ("indexer: ledger", "services.indexer.settings:LedgerSettings"),
    ("indexer: rejects", "services.indexer.settings:RejectSettings"),
    ("indexer: Pinecone", "services.indexer.settings:PineconeSettings"),
)
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


def effective() -> list[Setting]:
    """All settings of all processes, grouped. One that two of them read differently stands in two groups."""
    found: list[Setting] = []
    seen: set[Setting] = set()
    given = {name: value for name, value in os.environ.items() if value}  # an empty one counts as unset
    for group, path in SECTIONS:
        for setting in _section(group, _imported(path), given):
            alike = dataclasses.replace(setting, group="", description="")
            if alike not in seen:
                seen.add(alike)
                found.append(setting)
    return found


def _imported(path: str) -> type[settings.Section]:
    module, _, name = path.partition(":")
    section: type[settings.Section] = getattr(importlib.import_module(module), name)
    return section


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
