"""What the deployment files say, parsed."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.deployment.code import ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture(scope="session")
def example() -> list[tuple[str, str, bool]]:
    """Lines of .env.example: name, value, and whether it is commented out. The profile `local` is left out."""
    text = (ROOT / ".env.example").read_text().partition("# --- Profile `local`")[0]
    return [(name, value, bool(mark)) for mark, name, value in re.findall(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", text, re.M)]
