"""Starts ingest: `python -m services.ingest`."""

from services.ingest import app, settings
from services.runtime import aws, secrets, server
from services.runtime import settings as runtime_settings
from services.valkey import settings as valkey_settings


def main() -> None:
    """Read the settings and serve."""
    vault = secrets.Vault()
    process = vault.load(runtime_settings.ProcessSettings)
    allowed = vault.load(settings.SourceSettings)
    requests = vault.load(settings.RequestSettings)
    metabase = vault.load(settings.MetabaseSettings)
    estimates = vault.load(settings.EstimateSettings)
    splits = vault.load(settings.SplitSettings)
    where = vault.load(valkey_settings.ValkeySettings)
    cloud = vault.load(aws.AwsSettings)
    server.run(
        "ingest",
        process,
        lambda: app.application(
            process,
            allowed=allowed,
            requests=requests,
            metabase=metabase,
            estimates=estimates,
            splits=splits,
            where=where,
            cloud=cloud,
        ),
        vault,
    )


if __name__ == "__main__":
    main()
