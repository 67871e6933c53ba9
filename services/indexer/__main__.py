"""Starts an indexer: `python -m services.indexer`."""

from services.billing import prices
from services.indexer import app, settings
from services.runtime import aws, secrets, server
from services.runtime import settings as runtime_settings


def main() -> None:
    """Read the settings and serve."""
    vault = secrets.Vault()
    process = vault.load(runtime_settings.ProcessSettings)
    where = vault.load(aws.CallerSettings)
    rules = vault.load(settings.LedgerSettings)
    kept = vault.load(settings.RejectSettings)
    pinecone = vault.load(settings.PineconeSettings)
    known = vault.load(prices.PriceSettings).prices
    server.run("indexer", process, lambda: app.application(where, rules, kept, pinecone, known), vault)


if __name__ == "__main__":
    main()
