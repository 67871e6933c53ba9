"""A chunk that kills whoever decodes it, and kills that are nobody's fault."""

from collections.abc import Callable

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene
from tests.support import csvs

POISON_STRIKES = 5
BAD_ROW = 550
BAD_CHUNK = range(501, 601)


def poisonous(rule: str, unseen: int = 0) -> Callable[[Scene], None]:
    """One row kills every process that decodes it: its chunk fails by its header, its neighbours are indexed.

    Args:
        rule: The failpoint.
        unseen: So many deaths may go uncounted: an indexer's last word can be lost with its connection.
    """

    def act(scene: Scene) -> None:
        scene.arm(rule)
        job = scene.upload(2_000)
        job.refused = dict.fromkeys(BAD_CHUNK, "poison")
        scene.fired(POISON_STRIKES, 120)
        scene.finish(job, within=90)
        deaths = len(scene.stage.failpoints.fired)
        assert POISON_STRIKES <= deaths <= POISON_STRIKES + unseen, f"{deaths} processes died of it"
        scene.outcome += f", {deaths} deaths"

    return act


def plain(rule: str, times: int) -> Callable[[Scene], None]:
    """As many deaths, but no chunk's fault: nothing fails."""

    def act(scene: Scene) -> None:
        scene.arm(rule)
        job = scene.upload(4_000)
        scene.fired(times, 150)
        scene.finish(job, within=90)

    return act


CELLS = [
    Cell(
        "poison: a chunk kills every embedder that decodes it",
        poisonous(f"embedder.decode:kill~{csvs.text_of(BAD_ROW)}"),
        twice=POISON_STRIKES * stages.IN_HAND,
        fast=True,
    ),
    Cell(
        "poison: a chunk kills every indexer that decodes it",
        poisonous(f"indexer.decode:kill~232.i{BAD_ROW}", unseen=2),
        twice=(POISON_STRIKES + 2) * stages.CHUNK_ROWS,
    ),
    Cell(
        "no poison: five embedders killed after OpenAI answered",
        plain("embedder.after_openai:kill*5", 5),
        twice=5 * stages.IN_HAND,
    ),
    Cell(
        "no poison: four embedders killed while decoding", plain("embedder.decode:kill*4", 4), twice=4 * stages.IN_HAND
    ),
    Cell("no poison: five indexers killed after Pinecone", plain("indexer.after_upsert:kill*5", 5)),
]
