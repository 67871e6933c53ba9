"""Secrets by ARN: fetched from Secrets Manager at start, fetched anew while the process runs.

A setting whose value begins with ``arn:aws:secretsmanager:`` names a secret; ``#key`` behind it names a field of a
secret that is a JSON object. Whoever uses such a setting asks it for its value at each use, so that a rotation needs no
restart. A value that is no ARN is the secret itself and never changes.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import boto3
import pydantic
import structlog
from botocore import config, exceptions

from services.runtime import aws, settings

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_secretsmanager import SecretsManagerClient

log = structlog.get_logger()

# arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[#FIELD], in any partition of AWS.
ARN: Final = re.compile(r"(arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[^#]+)(?:#(.+))?")
# A wrong key makes a service look for a new one, at most so often: callers must not drive the calls to AWS.
LOOK_SECONDS: Final = 10.0
# What the services prove their identity with changes in one of them first; the value before counts for so long.
PREVIOUS_SECONDS: Final = 900.0

Fetch = Callable[[str, str], str]


class Unreadable(Exception):
    """The secret cannot be had or not be used; the message holds no part of any secret."""


class LiveSecret(pydantic.SecretStr):
    """A secret whose value may change: `get_secret_value` is what it is now. It is printed as asterisks."""

    def __init__(self, value: str, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__(value)
        self._previous: tuple[str, float] | None = None
        self._look = look

    def renew(self, value: str) -> None:
        """Put a new value in place of the old one."""
        self._previous = (self._secret_value, time.monotonic())
        self._secret_value = value

    def accepted(self) -> tuple[str, ...]:
        """The value, and the one before for a while after the change."""
        if self._previous is None or time.monotonic() > self._previous[1] + PREVIOUS_SECONDS:
            return (self._secret_value,)
        return (self._secret_value, self._previous[0])

    async def look(self) -> None:
        """Fetch it anew, unless that was done a moment ago."""
        await self._look()


def accepted(secret: pydantic.SecretStr) -> tuple[str, ...]:
    """The values that prove an identity now; the second one is the value before a rotation."""
    return secret.accepted() if isinstance(secret, LiveSecret) else (secret.get_secret_value(),)


async def renewed(secret: pydantic.SecretStr, used: str) -> bool:
    """Whether the secret is another than the one that was just refused; looks for a new one if need be."""
    if isinstance(secret, LiveSecret) and secret.get_secret_value() == used:
        await secret.look()
    return secret.get_secret_value() != used


class Vault:
    """Loads settings sections, fetches the secrets that they name by ARN, and keeps those current.

    Args:
        fetch: Reads a secret by its ARN and region; default: Secrets Manager at AWS_ENDPOINT_URL.
    """

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._fetch = fetch or _SecretsManager().fetch
        self._live: dict[str, LiveSecret] = {}
        # Which settings name each: what is fetched must do for all of them.
        self._fields: dict[str, set[tuple[type[settings.Section], str]]] = {}
        self._looked = time.monotonic()
        self._looking = asyncio.Lock()

    def load(self, section: type[settings.SectionT]) -> settings.SectionT:
        """Read a section with its secrets, or stop the process with one line that names the variable."""
        try:
            return self.read(section)
        except settings.Wrong as wrong:
            settings.refuse(str(wrong))

    def read(self, section: type[settings.SectionT]) -> settings.SectionT:
        """Read a section with its secrets.

        Raises:
            settings.Wrong: A variable is not what it should be, or the secret that it names cannot be had.
        """
        loaded = settings.read(section)
        found: dict[str, LiveSecret] = {}
        for name in section.model_fields:
            value = getattr(loaded, name)
            if isinstance(value, pydantic.SecretStr) and ARN.fullmatch(value.get_secret_value()):
                try:
                    found[name] = self._opened(value.get_secret_value(), section, name)
                except Unreadable as error:
                    raise settings.Wrong(f"{name.upper()}: {error}") from error
        return loaded.model_copy(update=found) if found else loaded

    def _opened(self, reference: str, section: type[settings.Section], name: str) -> LiveSecret:
        """One handle for each secret, whoever names it."""
        self._fields.setdefault(reference, set()).add((section, name))
        if reference not in self._live:
            self._live[reference] = LiveSecret(self._read(reference), self.look)
        else:
            self._check(reference, self._live[reference].get_secret_value())
        return self._live[reference]

    def _read(self, reference: str) -> str:
        match = ARN.fullmatch(reference)
        assert match is not None
        arn, region, field = match.groups()
        text = self._fetch(arn, region)
        value = _field(arn, text, field) if field else text
        self._check(reference, value)
        return value

    def _check(self, reference: str, value: str) -> None:
        """What is fetched is held to what is asked of a value that stands in the environment itself.

        Raises:
            Unreadable: One of the settings that name it would not take it.
        """
        for section, name in self._fields[reference]:
            try:
                section.model_validate({name: value})
            except pydantic.ValidationError as error:
                # Never the error itself: it quotes its input.
                words = [problem["msg"].removeprefix("Value error, ") for problem in error.errors(include_input=False)]
                raise Unreadable(f"{reference} cannot be used as {name.upper()}: {'; '.join(words)}.") from None

    async def run(self, refresh_seconds: float) -> None:
        """Fetch all anew every `refresh_seconds`, for ever."""
        while True:
            await asyncio.sleep(refresh_seconds)
            await self.refresh()

    async def look(self) -> None:
        """Fetch all anew, unless that was done within `LOOK_SECONDS`."""
        async with self._looking:  # those who come meanwhile wait for the same answer
            if time.monotonic() >= self._looked + LOOK_SECONDS:
                await self.refresh()

    async def refresh(self) -> None:
        """Fetch all anew. One that cannot be had, or not be used, stays as it is: an outage of AWS locks nobody out."""
        for reference, secret in self._live.items():
            try:
                value = await asyncio.to_thread(self._read, reference)
            except Unreadable as error:
                log.warning(
                    "A secret could not be fetched anew; the old one counts.",
                    action="secret_unreadable",
                    why=str(error),
                )
                continue
            if value != secret.get_secret_value():
                secret.renew(value)
                log.info("A secret was rotated.", action="secret_rotated", secret=reference)
        self._looked = time.monotonic()


class _SecretsManager:
    """Secrets Manager, a client for each region."""

    def __init__(self) -> None:
        self._clients: dict[str, SecretsManagerClient] = {}

    def fetch(self, arn: str, region: str) -> str:
        """The text of a secret's current version.

        Raises:
            Unreadable: It does not exist, may not be read, is binary, or AWS does not answer.
        """
        if region not in self._clients:
            self._clients[region] = boto3.client(
                "secretsmanager",
                region_name=region,
                endpoint_url=aws.AwsSettings().aws_endpoint_url,
                config=config.Config(connect_timeout=3.0, read_timeout=5.0, retries={"total_max_attempts": 3}),
            )
        try:
            answer = self._clients[region].get_secret_value(SecretId=arn)
        except exceptions.ClientError as error:
            raise Unreadable(f"{arn} is refused: {error.response['Error']['Code']}.") from error
        except exceptions.BotoCoreError as error:
            raise Unreadable(f"{arn} cannot be read: {type(error).__name__}.") from error
        if "SecretString" not in answer:
            raise Unreadable(f"{arn} is binary; a text is needed.")
        return answer["SecretString"]


def _field(arn: str, text: str, field: str) -> str:
    try:
        value = json.loads(text)[field]
    except (ValueError, TypeError, KeyError):
        # Without its cause: a parser's message may quote the secret.
        raise Unreadable(f"{arn} is no JSON object with the field {field!r}.") from None
    return value if isinstance(value, str) else json.dumps(value)
