"""The settings as the services would read them here, each section once; and every secret in them, to be kept silent."""

import os
import re
import urllib.parse
from collections.abc import Iterator

import pydantic

from services.runtime import secrets, settings

MASK = "********"
# Shorter ones would mask words of the report.
LEAST_CHARACTERS = 4
# Read by boto3 itself, so they are in no section.
OF_AWS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


class Told:
    """What a process is told; sections are read when they are first asked for."""

    def __init__(self, vault: secrets.Vault | None = None) -> None:
        self._vault = vault or secrets.Vault()
        self._sections: dict[type[settings.Section], settings.Section | settings.Wrong] = {}

    def of(self, section: type[settings.SectionT]) -> settings.SectionT:
        """A section with its secrets.

        Raises:
            settings.Wrong: It cannot be read.
        """
        if section not in self._sections:
            try:
                self._sections[section] = self._vault.read(section)
            except settings.Wrong as wrong:
                self._sections[section] = wrong
        found = self._sections[section]
        if isinstance(found, settings.Wrong):
            raise found
        assert isinstance(found, section)
        return found

    def masked(self, text: str) -> str:
        """The text without any secret that was read, whoever put it there: a library may quote what it was given."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, MASK)
        return _CREDENTIALS.sub(f"{MASK}@", text)

    def _secrets(self) -> set[str]:
        values = {os.environ.get(name, "") for name in OF_AWS}
        for section in self._sections.values():
            if isinstance(section, settings.Section):
                values.update(_of(section))
        return {value for value in values if len(value) >= LEAST_CHARACTERS}


def _of(section: settings.Section) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if not isinstance(value, pydantic.SecretStr):
            continue
        for secret in secrets.accepted(value):
            yield secret
            if "://" in secret:
                password = urllib.parse.urlsplit(secret).password or ""
                yield from (password, urllib.parse.unquote(password))
