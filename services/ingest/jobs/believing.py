"""A manifest that a job may go by: nobody's run is pending there, and it is for this index, model and row contract."""

from typing import Final

from services.ingest import failures, manifest_client
from services.ingest.driving import lease_watch, merging, trust
from services.ingest.manifest import header
from services.ingest.manifest import store as objects_store

# Looks at a manifest that others change meanwhile, before the driver comes back later.
TRIES: Final = 4
_REMEDY: Final = "load its file again (all of it is bought then), or adopt what is there"


class Believing:
    """Finds it for a task in its turn.

    Args:
        manifests: Knows the items.
        objects: Where manifests lie.
        merger: Merges what another's run has left.
    """

    def __init__(
        self, manifests: manifest_client.Manifests, objects: objects_store.Store, merger: merging.Merger
    ) -> None:
        self._manifests = manifests
        self._objects = objects
        self._merger = merger

    async def item(self, task_id: str, stand: lease_watch.Standing) -> manifest_client.Manifest:
        """The manifest's item, once no run of another is pending there.

        Raises:
            failures.Failure: SKIP_UNCHANGED_OFF.
            lease_watch.Stopped: It changes all the time.
        """
        for _ in range(TRIES):
            manifest = await self._manifests.of_task(task_id)
            if (manifest.opened_task, manifest.opened_fence) != (task_id, stand.fence):
                raise failures.Failure(
                    "SKIP_UNCHANGED_OFF",
                    "An ingest without SKIP_UNCHANGED, or of an older release, had a part in this task's turn: nothing "
                    "is known of the index then. Set SKIP_UNCHANGED=true everywhere, and ask anew.",
                )
            if not manifest.HasField("pending") or manifest.pending.task_id == task_id:
                return manifest
            await stand.during(self._merger.merge(manifest))
        raise lease_watch.Stopped("the manifest changes all the time")

    async def of(self, task_id: str, stand: lease_watch.Standing) -> tuple[manifest_client.Manifest, header.Header]:
        """The manifest and its header.

        Raises:
            failures.Failure: NOTHING_KNOWN, MANIFEST_DISTRUSTED; or as `item`.
        """
        manifest = await self.item(task_id, stand)
        try:
            made = await trust.read(self._manifests, self._objects, manifest)
            if made is not None:
                await stand.during(trust.placed(self._manifests, manifest, made, task_id))
        except trust.Distrusted as why:
            raise distrusted(str(why)) from why
        if made is None:
            raise nothing_known(manifest.namespace, manifest.question_id)
        return manifest, made


def distrusted(why: str) -> failures.Failure:
    """The failure of a task whose manifest cannot be believed."""
    return failures.Failure(
        "MANIFEST_DISTRUSTED", f"What the line knows of this question is not to be believed: {why}; {_REMEDY}."
    )


def nothing_known(namespace: str, question_id: str) -> failures.Failure:
    """The failure of a task that has nothing to go by."""
    return failures.Failure(
        "NOTHING_KNOWN",
        f"Nothing is known of question {question_id} in namespace {namespace!r}, so there is nothing to hold against "
        f"the index; {_REMEDY}.",
    )
