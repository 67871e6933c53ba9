"""What a job would cost, before anybody asks for it in earnest. It asks for a hundred records: 11 read units."""

import contextlib
import dataclasses
import json
from typing import Final

from vectorline.v1 import job_pb2

from services.billing import bill, spend, units
from services.ingest import manifest_client
from services.ingest.contract import metadata, tokens
from services.ingest.driving import trust
from services.ingest.estimating import estimate, forecast
from services.ingest.manifest import comparison

# Records that are fetched before each delete.
LOOKED_AT: Final = 10
# Why a namespace may not be dropped.
NOT_LISTED: Final = "what else is in it is not known before its ids are listed"
OTHERS: Final = "vectors of other questions may be in it"


class Forecasts:
    """Prices jobs.

    Args:
        manifests: Asks the index.
        terms: What buying costs.
    """

    def __init__(self, manifests: manifest_client.Manifests, terms: estimate.Terms) -> None:
        self._manifests = manifests
        self._terms = terms

    async def of(
        self, namespace: str, question_id: int, *, ids: int, fetched: int, sampled: int, believes: bool
    ) -> job_pb2.JobForecast:
        """What it comes to, to list so many ids, fetch so many records, and buy so many vectors again.

        `believes`: what is known is held against the position of the namespace's log before, which is a query.
        """
        mean = await self._tokens_a_text(namespace, question_id) if sampled else 0.0
        spent = spend.Spend(
            tokens=round(mean * sampled),
            texts_bought=sampled,
            read_thousandths=units.of_list(ids)
            + units.of_fetch(fetched)
            + (units.of_fetch(sampled) if sampled else 0)
            + (_position(ids, self._terms.dimension) if believes else 0),
        )
        cost = bill.message(spent, self._terms.model, forecast.today(), self._terms.prices)
        return job_pb2.JobForecast(ids=ids, fetched=fetched, sampled=sampled, bill=cost)

    async def of_removal(
        self, manifest: manifest_client.Manifest, namespace: str, question_id: int, *, load: bool
    ) -> job_pb2.JobForecast:
        """What it comes to, to delete all that is there of a question, as far as is known; at most, where nothing is.

        A delete costs what is deleted: at least the values of what is known, at most as if all were as large as the
        largest of the first records. A namespace that has nothing else is dropped.

        Args:
            manifest: Of the question.
            namespace: Where it is.
            question_id: The question.
            load: Only what is known goes: what one load wrote.
        """
        there, _ = await self._manifests.count(namespace)
        plain = bool(manifest.uri) and not manifest.HasField("pending")
        count = manifest.known + (0 if load else manifest.unknown) if plain else there
        lists = not load and (not plain or trust.lists(manifest, there))
        asked = _position(there, manifest.dimension) if manifest.lsn and manifest.known else 0
        listed = spend.Spend(read_thousandths=asked + (units.of_list(count) if lists and count else 0))
        why = _why_not_dropped(manifest, there, load=load) if plain else NOT_LISTED
        if count and not why:
            told = job_pb2.JobForecast(drops_namespace=True)
            spent = spend.Spend(write_units=units.LEAST_WRITE_UNITS)
        else:
            told = job_pb2.JobForecast(why_not_dropped=why if count else "")
            known = min(manifest.known, count) if plain else 0
            spent = await self.of_deletes(namespace, question_id, estimate.Removed(count, known), manifest.dimension)
            told.fetched = min(count, -(-count // comparison.DELETED) * LOOKED_AT)
            if not plain:  # or it is dropped after all
                most = spent.write_units + spent.write_units_doubtful
                least = min(spent.write_units, units.LEAST_WRITE_UNITS)
                spent = dataclasses.replace(spent, write_units=least, write_units_doubtful=most - least)
        told.ids, told.removed = 0 if plain else count, count
        told.bill.CopyFrom(bill.message(listed + spent, self._terms.model, forecast.today(), self._terms.prices))
        return told

    async def of_deletes(
        self, namespace: str, question_id: int, removed: estimate.Removed, dimension: int
    ) -> spend.Spend:
        """What it comes to, to delete ids of a question one by one.

        At least the values of what is known to be there, at most as if all were as large as the largest of the first
        hundred records, which are looked at.

        Args:
            namespace: Where they are.
            question_id: The question.
            removed: How many, and how many of these are known to be there.
            dimension: Values a vector.
        """
        deletes = -(-removed.ids // comparison.DELETED)
        values = dimension * units.BYTES_A_FLOAT
        found = await self._manifests.fetch(namespace, await self._manifests.some_ids(namespace, f"{question_id}."))
        largest = max((len(json.dumps(record)) + len(name) for name, record in found.items()), default=0)
        least = max(removed.known * values // units.KB, deletes * units.LEAST_WRITE_UNITS)
        most = max(removed.ids * (values + largest) // units.KB + deletes, least)
        return spend.Spend(
            read_thousandths=deletes * units.of_fetch(LOOKED_AT), write_units=least, write_units_doubtful=most - least
        )

    async def _tokens_a_text(self, namespace: str, question_id: int) -> float:
        """Of the first records of the question whose metadata hold all of their text."""
        names = await self._manifests.some_ids(namespace, f"{question_id}.")
        found = await self._manifests.fetch(namespace, names)
        lengths = []
        for record in found.values():
            if (text := metadata.whole_text(record)) is not None:
                with contextlib.suppress(ValueError):  # tiktoken gives up on a million blanks in a row
                    lengths.append(len(tokens.encoding().encode(text, disallowed_special=())))
        return sum(lengths) / len(lengths) if lengths else 0.0


def _position(vectors: int, dimension: int) -> int:
    """Thousandths of a read unit of a query of a namespace."""
    return units.of_query(0, vectors * dimension * units.BYTES_A_FLOAT)


def _why_not_dropped(manifest: manifest_client.Manifest, there: int, *, load: bool) -> str:
    """Why a namespace would not be dropped with a question of which everything is known, as it is now."""
    entries = manifest.known + manifest.unknown
    others = manifest.namespace_known - manifest.known
    if load and manifest.unknown:
        return "vectors of this question stay"
    if manifest.namespace_pending:
        return "other loads write to it"
    if others or manifest.namespace_unknown != manifest.unknown:
        return f"{others:,} vectors of other questions are in it" if others else OTHERS
    return f"{there:,} vectors are in it, and {entries:,} are known of this question" if there > entries else ""
