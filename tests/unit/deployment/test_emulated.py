"""How the check waits for its emulator."""

import pathlib
import types
from typing import Any

import pytest

from deploy.check import account


def test_half_a_certificate_is_waited_for_and_not_stumbled_over(tmp_path: pathlib.Path) -> None:
    half = tmp_path / "server.crt"
    half.write_text("-----BEGIN CERTIFICATE-----\nMIIC")
    looks = iter([None, 1])  # it lives at the first look, and has ended at the second
    process: Any = types.SimpleNamespace(poll=lambda: next(looks))

    with pytest.raises(RuntimeError, match="does not start"):
        account._wait_until_it_serves(process, account.Account("https://localhost:9", tmp_path, half))
