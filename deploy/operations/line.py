"""A line as its file of parameters describes it: which stacks, in which order, with which parameters."""

import copy
import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Final

import yaml

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
TEMPLATES: Final = ROOT / "stacks"


class Unusable(Exception):
    """The file of parameters cannot be used; the message names what is wrong and the remedy."""


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms of functions as what they stand for."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def template(stack: str) -> dict[str, Any]:
    """A stack's template, with its functions written out; the caller's own."""
    return copy.deepcopy(_read(TEMPLATES / f"{stack}.yml"))


@functools.cache
def _read(path: pathlib.Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (it is a safe one)
    return loaded


@dataclasses.dataclass(frozen=True)
class Line:
    """A line.

    Attributes:
        stacks: Their names, in the order in which they are created.
        parameters: By name, for all of them together; a stack takes those that its template declares.
    """

    stacks: tuple[str, ...]
    parameters: Mapping[str, str]

    @property
    def name(self) -> str:
        """What everything that the stacks make begins with."""
        return self.parameters["Name"]

    @property
    def tags(self) -> dict[str, str]:
        """Of each of its stacks."""
        return {"application": "vectorline", "line": self.name}

    @property
    def runs(self) -> str:
        """The stack whose change is a release."""
        return next(stack for stack in self.stacks if stack in ("small", "production"))

    def stack_name(self, stack: str) -> str:
        """A stack's name at CloudFormation."""
        return f"{self.name}-{stack}"

    def of(self, stack: str) -> dict[str, str]:
        """The parameters of a stack; those that have neither a value nor a default are left out."""
        declared = template(stack).get("Parameters", {})
        return {name: self.parameters[name] for name in declared if name in self.parameters}

    def missing(self, stack: str) -> list[str]:
        """The parameters that a stack needs and does not get."""
        declared = template(stack).get("Parameters", {})
        return [name for name, about in declared.items() if name not in self.parameters and "Default" not in about]

    def changed(self, **parameters: str) -> "Line":
        """The same line with some other parameters."""
        return dataclasses.replace(self, parameters={**self.parameters, **parameters})


def load(path: pathlib.Path) -> Line:
    """Read a file of parameters.

    Raises:
        Unusable: It is not there, no JSON, or names a stack or a parameter that does not exist.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        line = Line(tuple(told["stacks"]), {name: str(value) for name, value in told["parameters"].items()})
    except OSError as error:
        raise Unusable(f"{path} cannot be read ({error.strerror}); copy one of {ROOT / 'parameters'}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"{path} is no JSON object with `stacks` and `parameters` ({error}).") from error
    for stack in line.stacks:
        if not (TEMPLATES / f"{stack}.yml").is_file():
            raise Unusable(f"{path} names the stack {stack}, and there is no deploy/stacks/{stack}.yml.")
    known = {name for stack in line.stacks for name in template(stack).get("Parameters", {})}
    if strange := sorted(line.parameters.keys() - known):
        raise Unusable(f"{path} has parameters that none of its stacks takes: {', '.join(strange)}.")
    if "Name" not in line.parameters:
        raise Unusable(f"{path} lacks the parameter Name.")
    return line
