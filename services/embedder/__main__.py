"""Starts an embedder: `python -m services.embedder`."""

from services.embedder import app, settings
from services.runtime import secrets, server, valkey
from services.runtime import settings as runtime_settings


def main() -> None:
    """Read the settings and serve."""
    vault = secrets.Vault()
    process = vault.load(runtime_settings.ProcessSettings)
    embedding = vault.load(settings.EmbeddingSettings)
    work = vault.load(settings.WorkSettings)
    where = vault.load(valkey.ValkeySettings)
    server.run("embedder", process, lambda: app.application(process, embedding, work, where), vault)


if __name__ == "__main__":
    main()
