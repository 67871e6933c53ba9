"""Servers with OpenAI's API as they are: whose fault a refusal is, how much they take, what one text does to them."""

from collections.abc import Callable
from typing import Any

from tests.faults.cells import Cell
from tests.faults.providers import refusing
from tests.faults.scene import Scene
from tests.support import csvs

ROW = 834
FOUND_OUT_SECONDS = 120
# From 2,048 texts down it would be five times that something is waited for in vain.
MODEST = {"OPENAI_BATCH_INPUTS": "256"}


def one_text(body: str, reason: str) -> Callable[[Scene], None]:
    """Whatever holds one text is met with an error: its row fails by name, its neighbours are bought."""

    def act(scene: Scene) -> None:
        scene.stage.openai_faults({"kind": "status", "body": body, "match_text": csvs.text_of(ROW)})
        job = scene.upload(1_000)
        job.refused = {ROW: reason}
        scene.finish(job, within=FOUND_OUT_SECONDS)

    return act


def larger(most: int, **rule: Any) -> Callable[[Scene], None]:
    """Requests of more texts do not go through: no row fails of it, and processes that begin anew know it."""

    def act(scene: Scene) -> None:
        scene.stage.restart_embedders()  # who saw larger ones go through of late would not believe it
        scene.struck()
        scene.stage.openai_faults({**rule, "more_than": most})
        job = scene.upload(1_500)
        scene.finish(job, within=FOUND_OUT_SECONDS)
        before = _too_large(scene, most)
        assert before
        with scene.stage.redis() as client:
            assert int(client.get("{vectorline}:request_inputs:text-embedding-3-small")) <= most
        scene.stage.restart_embedders()
        scene.finish(scene.upload(1_500, first=10_001))
        assert _too_large(scene, most) == before, "what was found out was found out again"

    return act


def _too_large(scene: Scene, most: int) -> int:
    return sum(each["inputs"] > most for each in scene.stage.journal(None)["requests"])


CELLS = [
    Cell("servers: 403 about one text (a firewall)", one_text("forbidden", "embedding_refused")),
    Cell("servers: 500 for one text, every time", one_text("not_a_number", "embedding_unusable"), patient=True),
    refusing("servers: a budget used up, told as 400", "budget_exceeded"),
    refusing("servers: a key that ran out, told as 400", "key_not_valid"),
    refusing("servers: 402 for every call", "forbidden", 402),
    refusing("servers: 405 for every call", "forbidden", 405),
    Cell("servers: 32 texts a request (413, unnamed)", larger(32, kind="status", body="batch_too_large")),
    Cell(
        "servers: 500 for more than 100 texts",
        larger(100, kind="status", body="server_error"),
        settings=MODEST,
        patient=True,
    ),
    Cell("servers: more than 64 texts are not answered", larger(64, kind="hang"), settings=MODEST, patient=True),
]
