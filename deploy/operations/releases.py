"""Releases: the images of a tag, by digest, and which tags ran; the last five are kept to go back to."""

import dataclasses
import datetime
import json
from typing import Any, Final

from botocore import exceptions

KEPT: Final = 5
REPOSITORIES: Final = {"ServicesImage": "services", "EnvoyImage": "envoy"}

Client = Any


class Missing(Exception):
    """A release is not there; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Release:
    """A tag, its images by digest, and when it went into production (UTC); empty: it did not yet."""

    tag: str
    services_image: str
    envoy_image: str
    since: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """What the stack that runs the line is told of it."""
        return {"Release": self.tag, "ServicesImage": self.services_image, "EnvoyImage": self.envoy_image}


class Releases:
    """The releases of a line.

    Args:
        registry: A boto3 client of ECR.
        parameters: A boto3 client of SSM, which keeps the history.
        name: The line's name.
    """

    def __init__(self, registry: Client, parameters: Client, name: str) -> None:
        self._registry = registry
        self._parameters = parameters
        self._name = name

    @property
    def key(self) -> str:
        """Where the history is kept."""
        return f"/{self._name}/releases"

    def find(self, tag: str) -> Release:
        """The images that were pushed under a tag.

        Raises:
            Missing: One of them was not.
        """
        images = {parameter: self._image(repository, tag) for parameter, repository in REPOSITORIES.items()}
        return Release(tag, images["ServicesImage"], images["EnvoyImage"])

    def history(self) -> list[Release]:
        """The last releases that ran and were found good, the newest first."""
        try:
            found = self._parameters.get_parameter(Name=self.key)["Parameter"]["Value"]
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise
            return []
        return [Release(**each) for each in json.loads(found)]

    def good(self, release: Release) -> None:
        """Put a release on top of the history."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        others = [each for each in self.history() if each.tag != release.tag]
        kept = [dataclasses.replace(release, since=now), *others][:KEPT]
        value = json.dumps([dataclasses.asdict(each) for each in kept])
        self._parameters.put_parameter(Name=self.key, Type="String", Value=value, Overwrite=True)

    def _image(self, repository: str, tag: str) -> str:
        name = f"{self._name}/{repository}"
        try:
            about = self._registry.describe_repositories(repositoryNames=[name])["repositories"][0]
            found = self._registry.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
        except exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "RepositoryNotFoundException":
                raise Missing(
                    f"There is no repository {name}: the stack data makes it; run `bootstrap` first."
                ) from error
            if code != "ImageNotFoundException":
                raise
            found = []
        if not found:
            uri = about["repositoryUri"]
            raise Missing(f"{name} has no image {tag}; push it (docs/deployment.md, phase 2): docker push {uri}:{tag}")
        return f"{about['repositoryUri']}@{found[0]['imageDigest']}"
