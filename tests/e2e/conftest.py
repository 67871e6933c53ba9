"""One whole line for all end-to-end tests; it ends with them."""

from collections.abc import Iterator

import pytest

from tests.support import line as lines


@pytest.fixture(scope="package")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lines.Line]:
    """The line without a request limit, with two embedders and every kind of source."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "local").mkdir()
    with lines.running(
        folder,
        OPENAI_RATE_LIMIT="0",
        EMBEDDERS="2",
        SKIP_UNCHANGED="true",
        METABASE="1",
        METABASE_QUESTION_ID="232",
        USE_LOCAL_FILES="true",
        LOCAL_CSV_FOLDER=str(folder / "local"),
        S3_ALLOWED_BUCKETS="partner/exports/",
    ) as running:
        yield running
