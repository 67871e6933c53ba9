"""What an embedder does before it begins."""

from structlog import testing

from services.embedder import app, indexer_client
from tests.support import virtual_time


class Indexer(indexer_client.Indexer):
    """Answers the dimension as told; None: not at all."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)

    async def index_dimension(self) -> int:
        answer = self.answers.pop(0)
        if answer is None:
            raise indexer_client.IndexerUnavailable("away")
        return answer


def test_the_index_is_asked_for_its_dimension_until_it_is_known() -> None:
    indexer = Indexer(None, 0, 512)
    assert virtual_time.run(app._dimension_of_index(indexer)) == 512
    assert indexer.answers == []


def test_an_index_that_does_not_tell_its_dimension_is_in_the_log() -> None:
    """The embedder serves and its log says nothing else of why it buys nothing."""
    with testing.capture_logs() as logged:
        virtual_time.run(app._dimension_of_index(Indexer(*[None] * 65, 512)))
    assert [line["action"] for line in logged] == ["dimension_unknown", "dimension_unknown", "dimension_known"]
