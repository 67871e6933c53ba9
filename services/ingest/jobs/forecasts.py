"""What a job would cost, before anybody asks for it in earnest. It asks for a hundred records: 11 read units."""

import contextlib
import json
from typing import Final

from vectorline.v1 import job_pb2

from services.billing import bill, spend, units
from services.ingest import manifest_client
from services.ingest.contract import metadata, tokens
from services.ingest.estimating import estimate, forecast
from services.ingest.manifest import comparison

# Records that are fetched before each delete.
LOOKED_AT: Final = 10


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
        self, namespace: str, question_id: int, *, ids: int, fetched: int, sampled: int
    ) -> job_pb2.JobForecast:
        """What it comes to, to list so many ids, fetch so many records, and buy so many vectors again."""
        mean = await self._tokens_a_text(namespace, question_id) if sampled else 0.0
        spent = spend.Spend(
            tokens=round(mean * sampled),
            texts_bought=sampled,
            read_thousandths=units.of_list(ids) + units.of_fetch(fetched) + (units.of_fetch(sampled) if sampled else 0),
        )
        cost = bill.message(spent, self._terms.model, forecast.today(), self._terms.prices)
        return job_pb2.JobForecast(ids=ids, fetched=fetched, sampled=sampled, bill=cost)

    async def of_removal(
        self, manifest: manifest_client.Manifest, namespace: str, question_id: int
    ) -> job_pb2.JobForecast:
        """What it comes to, to delete all that is there of a question, as far as is known; at most, where nothing is.

        A delete costs what is deleted: at least the values of what is known, at most as if all were as large as the
        largest of the first records.
        """
        plain = bool(manifest.uri) and not manifest.HasField("pending")
        known = manifest.known if plain else 0
        count = manifest.known + manifest.unknown if plain else (await self._manifests.count(namespace))[0]
        deletes = -(-count // comparison.DELETED)
        values = manifest.dimension * units.BYTES_A_FLOAT
        found = await self._manifests.fetch(namespace, await self._manifests.some_ids(namespace, f"{question_id}."))
        largest = max((len(json.dumps(record)) + len(name) for name, record in found.items()), default=0)
        least = max(known * values // units.KB, deletes * units.LEAST_WRITE_UNITS)
        most = max(count * (values + largest) // units.KB + deletes, least)
        spent = spend.Spend(
            read_thousandths=(0 if plain or not count else units.of_list(count)) + deletes * units.of_fetch(LOOKED_AT),
            write_units=least,
            write_units_doubtful=most - least,
        )
        cost = bill.message(spent, self._terms.model, forecast.today(), self._terms.prices)
        return job_pb2.JobForecast(
            ids=0 if plain else count, fetched=min(count, deletes * LOOKED_AT), bill=cost, removed=count
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
