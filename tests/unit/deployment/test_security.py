"""docs/security.md against the tests that it names, and what it says of metrics."""

import ast
import importlib
import pkgutil
import re

import prometheus_client

import services
from tests.unit.deployment import code

TEXT = (code.ROOT / "docs" / "security.md").read_text()
# What a metric may be told apart by. A key, a task, a namespace or a file would tell one caller of another.
LABELS = {
    "method",
    "code",
    "stage",
    "outcome",
    "end",
    "owner",
    "lane",
    "way",
    "state",
    "status",
    "because",
    "asker",
} | {*("service", "version", "python", "dependency", "operation", "reason", "size", "credential", "provider")}


def test_each_statement_has_a_test_that_exists() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]
    statements = [row for row in rows if not row.rstrip(" |").endswith("tried by")]

    assert len(statements) > 20
    for row in statements:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, f"no test: {row[:80]}"
        for path, name in named:
            tree = ast.parse((code.ROOT / path).read_text())
            defined = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in defined, f"{path} has no {name}"


def test_no_metric_has_a_label_that_names_a_caller_or_what_is_its() -> None:
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = [
        each
        for each in prometheus_client.REGISTRY._collector_to_names
        if str(getattr(each, "_name", "")).startswith("vectorline_")
    ]

    assert len(ours) > 15
    assert {label for each in ours for label in getattr(each, "_labelnames", ())} <= LABELS
