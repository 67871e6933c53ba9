"""boto3 clients: explicit timeouts, one retry layer, calls in threads."""

import pydantic

from services.runtime import settings


class AwsSettings(settings.Section):
    """Which AWS."""

    aws_region: str = pydantic.Field("us-east-1", pattern=r"^[a-z0-9-]+$", description="Region.")
    aws_endpoint_url: settings.HttpUrl | None = pydantic.Field(
        None, description="Another endpoint than AWS's own, e.g. ministack."
    )
