"""The account that an operation works in."""

from typing import Any, Final

import boto3
from botocore import config, exceptions

_boto3: Any = boto3  # its stubs know each service by a literal name
ATTEMPTS: Final = 5


class NoAccess(Exception):
    """The account cannot be reached, or does not know us; the message says what to do."""


class Account:
    """An account and region of AWS, as the environment names it: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL."""

    def __init__(self) -> None:
        self._session = _boto3.Session()

    @property
    def region(self) -> str:
        """Its region.

        Raises:
            NoAccess: The environment names none.
        """
        region = self._session.region_name
        if not region:
            raise NoAccess("No region: set AWS_REGION (and AWS_PROFILE, or whatever names your credentials).")
        return str(region)

    def client(self, service: str) -> Any:
        """A boto3 client."""
        patient = config.Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
        return self._session.client(service, region_name=self.region, config=patient)

    def secret(self, arn: str) -> str:
        """The value of a secret; empty: it has none yet."""
        try:
            return str(self.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return ""

    def number(self) -> str:
        """The number of the account that our credentials belong to.

        Raises:
            NoAccess: They are none, or are refused.
        """
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except (exceptions.ClientError, exceptions.BotoCoreError) as error:
            raise NoAccess(f"AWS does not know us ({error}); sign in, and set AWS_PROFILE and AWS_REGION.") from error
