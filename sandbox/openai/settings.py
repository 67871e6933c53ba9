"""The stand-in's settings: flags, each with an environment variable (``--latency-ms``: SANDBOX_OPENAI_LATENCY_MS)."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.openai import dialects, limits, rates

PREFIX = "SANDBOX_OPENAI_"


class Vectors(enum.StrEnum):
    """What embeddings are like: with the nearness of meaning, or cheap."""

    STATIC = "static"
    CANNED = "canned"


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How the server runs. ``api_key`` "": any key is welcome; port 0: any free one; a limit of 0: none."""

    host: str = "127.0.0.1"
    port: int = 9001
    api_key: str = ""
    count_tokens: limits.Counting = limits.Counting.EXACT
    requests_per_second: float = 0.0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    latency_ms: float = 0.0
    vectors: Vectors = Vectors.STATIC
    dialect: str = "openai"
    threads: int = min(4, os.cpu_count() or 1)
    max_body_bytes: int = 64 * 1024 * 1024

    @property
    def way(self) -> dialects.Dialect:
        """The dialect that is spoken."""
        return dialects.DIALECTS[self.dialect]

    @property
    def rate_limits(self) -> rates.Limits:
        """The limits of the account."""
        return rates.Limits(self.requests_per_second, self.requests_per_minute, self.tokens_per_minute)


def read(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; a flag wins over the environment. A wrong value ends the process with a usage line."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.openai",
        description="An OpenAI-compatible embeddings server for tests and laptops.",
        epilog=f"Each flag can be given as an environment variable: --latency-ms is {PREFIX}LATENCY_MS.",
    )

    def flag(name: str, kind: Any, text: str, default: Any) -> None:
        variable = PREFIX + name.upper()
        value = environment.get(variable) or default
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=value, help=f"{text} (now: {value!s})")

    standard = Settings()
    flag("host", str, "address to listen on", standard.host)
    flag("port", _whole, "port to listen on; 0: any free one", standard.port)
    flag("count_tokens", limits.Counting, "exact | estimate", standard.count_tokens)
    flag("requests_per_second", _number, "429 above it; 0: no limit", standard.requests_per_second)
    flag("requests_per_minute", _whole, "429 above it; 0: no limit", standard.requests_per_minute)
    flag("tokens_per_minute", _whole, "429 above it; 0: no limit", standard.tokens_per_minute)
    flag("latency_ms", _number, "milliseconds added to every embeddings answer", standard.latency_ms)
    flag("vectors", Vectors, "static | canned: without meaning, at a fifth of the CPU", standard.vectors)
    flag("dialect", _dialect, " | ".join(dialects.DIALECTS), standard.dialect)
    flag("threads", _positive, "threads that compute", standard.threads)
    flag("max_body_bytes", _positive, "largest request body", standard.max_body_bytes)
    key = environment.get(f"{PREFIX}API_KEY") or environment.get("OPENAI_API_KEY_EXPECTED") or ""
    parser.add_argument(
        "--api-key",
        default=key,
        help="the only key that is accepted (default: any); also OPENAI_API_KEY_EXPECTED",
    )
    return Settings(**vars(parser.parse_args(arguments)))


def _dialect(text: str) -> str:
    if text not in dialects.DIALECTS:
        raise ValueError(text)
    return text


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value
