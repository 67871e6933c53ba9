"""Starts an indexer: `python -m services.indexer`."""

from services.indexer import app, settings
from services.runtime import server
from services.runtime import settings as runtime_settings


def main() -> None:
    """Read the settings and serve."""
    process = runtime_settings.load(runtime_settings.ProcessSettings)
    where = runtime_settings.load(settings.AwsSettings)
    rules = runtime_settings.load(settings.LedgerSettings)
    kept = runtime_settings.load(settings.RejectSettings)
    pinecone = runtime_settings.load(settings.PineconeSettings)
    server.run("indexer", process, lambda: app.application(where, rules, kept, pinecone))


if __name__ == "__main__":
    main()
