"""The API keys of callers: can they be used, and which run out soon?"""

import datetime
from collections.abc import AsyncIterator, Sequence

from services.doctor import finding, told
from services.runtime import keys as runtime_keys
from services.runtime import settings

ABOUT = finding.About("keys")
SECTIONS = (settings.AccessSettings,)
SOON = datetime.timedelta(days=14)
REMEDY = "Put a second entry with the same id beside it (`vectorline config new-key`), and tell its caller."


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Look at API_KEY and API_KEYS."""
    access = knows.of(settings.AccessSettings)
    try:
        listed = runtime_keys.Keyring(access).listed
    except runtime_keys.WrongKeys as error:
        yield ABOUT.broken("list", f"API_KEYS: {error}", "Mend the entry; `vectorline config new-key` makes good ones.")
        return
    now = datetime.datetime.now(datetime.UTC)
    for key in listed:
        if key.expires is None:
            continue
        if key.expired(now):
            yield ABOUT.warning("expiry", f"a key of {key.key_id} ran out at {key.expires.isoformat()}", REMEDY)
        elif key.expires - now < SOON:
            yield ABOUT.warning("expiry", f"a key of {key.key_id} runs out at {key.expires.isoformat()}", REMEDY)
    count = len(listed) + bool(access.api_key.get_secret_value())
    if count:
        yield ABOUT.ok("list", f"{count} can be used")
    else:
        yield ABOUT.warning(
            "list", "there is none: nobody but the line's own services may call", "Set API_KEY or API_KEYS."
        )
