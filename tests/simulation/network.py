"""What lies between processes: latency, lost questions, lost answers, outages. And what the dead never do again."""

import asyncio
import dataclasses
import random

from tests.simulation import loop as loops


@dataclasses.dataclass
class Weather:
    """How bad it is now; probabilities of each call."""

    lost_question: float = 0.0
    lost_answer: float = 0.0
    broken_stream: float = 0.0
    openai_fails: float = 0.0
    openai_throttles: float = 0.0
    openai_paid_and_lost: float = 0.0
    pinecone_fails: float = 0.0
    pinecone_partial: float = 0.0
    pinecone_slow: float = 0.0
    s3_fails: float = 0.0
    table_loses: float = 0.0
    slow: float = 0.02


CALM = Weather()


class Lost(Exception):
    """A question did not arrive, or its answer."""


class Network:
    """Draws from the seed what happens to each call."""

    def __init__(self, loop: loops.Loop, choice: random.Random) -> None:
        self.loop = loop
        self.choice = choice
        self.weather = dataclasses.replace(CALM)
        # Pairs of (process kind or name, service) that do not reach each other.
        self.cut: set[tuple[str, str]] = set()

    def happens(self, probability: float) -> bool:
        return probability > 0 and self.choice.random() < probability

    async def pause(self) -> None:
        """Some time passes; a process that died meanwhile never comes back from here."""
        drawn = self.choice.random()
        if drawn < 0.4:
            await asyncio.sleep(0)
        elif drawn < 1 - self.weather.slow:
            await asyncio.sleep(drawn * 0.01)
        else:
            await asyncio.sleep(self.choice.random() * 2.0)
        if not loops.CURRENT.get().alive:
            await loops.for_ever()

    def reaches(self, process: loops.Process, service: str) -> bool:
        return (process.name, service) not in self.cut and ("", service) not in self.cut

    async def ask(self, process: loops.Process, service: str) -> None:
        """A question travels.

        Raises:
            Lost: It does not arrive.
        """
        if not process.alive:
            await loops.for_ever()
        await self.pause()
        if not self.reaches(process, service):
            await asyncio.sleep(self.choice.random() * 5.0)
            raise Lost(service)
        if self.happens(self.weather.lost_question):
            raise Lost(service)

    async def answer(self, process: loops.Process, service: str) -> None:
        """An answer travels.

        Raises:
            Lost: What was asked has happened, but nobody hears of it.
        """
        await self.pause()
        if not self.reaches(process, service) or self.happens(self.weather.lost_answer):
            raise Lost(service)
