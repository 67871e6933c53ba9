"""Starts ingest: `python -m services.ingest`."""

from services.ingest import app, settings
from services.runtime import aws, server, valkey
from services.runtime import settings as runtime_settings


def main() -> None:
    """Read the settings and serve."""
    process = runtime_settings.load(runtime_settings.ProcessSettings)
    allowed = runtime_settings.load(settings.SourceSettings)
    requests = runtime_settings.load(settings.RequestSettings)
    splits = runtime_settings.load(settings.SplitSettings)
    where = runtime_settings.load(valkey.ValkeySettings)
    cloud = runtime_settings.load(aws.AwsSettings)
    server.run(
        "ingest",
        process,
        lambda: app.application(process, allowed=allowed, requests=requests, splits=splits, where=where, cloud=cloud),
    )


if __name__ == "__main__":
    main()
