"""docs/metrics.md and the other kept files are what the code gives; every metric follows the conventions."""

import re

import pytest

from observe import files, reference


@pytest.mark.parametrize("place", sorted(files.made()))
def test_a_kept_file_is_what_the_code_gives(place: str) -> None:
    assert (files.ROOT / place).read_text() == files.made()[place], "make observe-files"


@pytest.mark.parametrize("metric", reference.entries(), ids=lambda metric: metric.name)
def test_a_metric_has_a_plain_name_a_sentence_and_a_meaning_over_replicas(metric: reference.Entry) -> None:
    assert re.fullmatch(r"vectorline_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.words.endswith(".")
    assert "|" not in metric.words
    assert metric.over in ("sum", "max", "each")
    assert not re.search(r"_(ms|millis\w*|minutes?|hours?|kb|mb|kilobytes|megabytes)(_|$)", metric.name)


def test_every_room_has_metrics() -> None:
    assert {each.room for each in reference.entries()} == set(reference.ROOMS.values())
