"""Starts an embedder: `python -m services.embedder`."""

from services.embedder import app, settings
from services.runtime import server, valkey
from services.runtime import settings as runtime_settings


def main() -> None:
    """Read the settings and serve."""
    process = runtime_settings.load(runtime_settings.ProcessSettings)
    embedding = runtime_settings.load(settings.EmbeddingSettings)
    work = runtime_settings.load(settings.WorkSettings)
    where = runtime_settings.load(valkey.ValkeySettings)
    server.run("embedder", process, lambda: app.application(process, embedding, work, where))


if __name__ == "__main__":
    main()
