"""What a job would cost, before anybody asks for it in earnest. It asks for a hundred records: 11 read units."""

import contextlib

from vectorline.v1 import job_pb2

from services.billing import bill, spend, units
from services.ingest import manifest_client
from services.ingest.contract import metadata, tokens
from services.ingest.estimating import estimate, forecast


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
