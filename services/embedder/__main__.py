"""Starts an embedder: `python -m services.embedder`."""

from services.embedder import app, settings
from services.runtime import secrets, server
from services.runtime import settings as runtime_settings
from services.valkey import settings as valkey_settings


def main() -> None:
    """Read the settings and serve."""
    vault = secrets.Vault()
    process = vault.load(runtime_settings.ProcessSettings)
    embedding = vault.load(settings.EmbeddingSettings)
    work = vault.load(settings.WorkSettings)
    where = vault.load(valkey_settings.ValkeySettings)
    server.run("embedder", process, lambda: app.application(process, embedding, work, where), vault)


if __name__ == "__main__":
    main()
