"""A namespace on disk is after any kill what it was after the last acknowledged write."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.pinecone import catalog, metadata, search, store

DIMENSION = 4


def upsert(namespace: store.Namespace, *ids: str, seed: int = 0) -> None:
    matrix = np.random.default_rng(seed).standard_normal((len(ids), DIMENSION)).astype("<f4")
    namespace.upsert(ids, matrix, [metadata.encode({"id": name, "seed": seed}) for name in ids])


def content(namespace: store.Namespace) -> dict[str, Any]:
    records = [namespace.record(row) for row in namespace.live_rows()]
    return {record.id: (record.values.tolist(), metadata.decode(record.metadata)) for record in records}


def test_a_reopened_namespace_is_the_same(tmp_path: Path) -> None:
    first = store.Namespace(tmp_path / "n", "v2", DIMENSION, {"fields": {"a": {"filterable": True}}})
    upsert(first, "a", "b", "c")
    upsert(first, "b", "d", seed=1)
    first.delete(["a", "unknown"])
    again = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    assert content(again) == content(first)
    assert sorted(content(again)) == ["b", "c", "d"]
    assert again.schema == first.schema


def test_its_log_only_grows_also_when_it_is_reopened_or_rewritten(tmp_path: Path) -> None:
    first = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    for seed in range(5):
        upsert(first, "a", "b", seed=seed)
    first.delete(["a"])
    assert first.lsn == 6
    assert store.Namespace(tmp_path / "n", "v2", DIMENSION).lsn == 6
    first.copy_to(tmp_path / "m")
    assert store.Namespace(tmp_path / "m", "v2", DIMENSION).lsn >= 6


def test_a_namespace_that_is_dropped_begins_anew_and_one_that_is_emptied_goes_on(tmp_path: Path) -> None:
    index = catalog.Index(tmp_path, catalog.Settings("i", DIMENSION, "cosine"))
    upsert(index.get_or_create("v2"), "a")
    index.clear("v2")
    assert index.get("v2").lsn == 2
    assert catalog.Index(tmp_path, index.settings).get("v2").lsn == 2
    index.drop("v2")
    assert index.get_or_create("v2").lsn == 0


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 13, 40])
def test_a_torn_last_frame_is_cut_off_and_what_follows_is_kept(tmp_path: Path, cut: int) -> None:
    first = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    upsert(first, "a", "b")
    before, whole = content(first), (tmp_path / "n" / "log").stat().st_size
    upsert(first, "c", "d", seed=1)
    os.truncate(tmp_path / "n" / "log", whole + cut)
    again = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    assert content(again) == before
    upsert(again, "e", seed=2)
    assert content(store.Namespace(tmp_path / "n", "v2", DIMENSION)) == content(again)


def test_rows_without_a_frame_do_not_exist(tmp_path: Path) -> None:
    first = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    upsert(first, "a")
    with (tmp_path / "n" / "rows.f32").open("ab") as file:
        file.write(b"\x00" * 21)  # killed after the rows, before the frame
    again = store.Namespace(tmp_path / "n", "v2", DIMENSION)
    assert content(again) == content(first)
    upsert(again, "b", seed=3)
    assert content(store.Namespace(tmp_path / "n", "v2", DIMENSION)) == content(again)


IDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4)
STEPS = st.lists(st.tuples(st.sampled_from(("upsert", "delete", "reopen")), IDS), max_size=12)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_it_behaves_like_a_dict_through_any_history(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("history") / "n"
    namespace, model = store.Namespace(folder, "", DIMENSION), dict[str, int]()
    for seed, (step, ids) in enumerate(steps):
        if step == "upsert":
            upsert(namespace, *ids, seed=seed)
            model |= dict.fromkeys(ids, seed)
        elif step == "delete":
            assert namespace.delete(ids) == len(model.keys() & set(ids))
            model = {name: value for name, value in model.items() if name not in ids}
        else:
            namespace = store.Namespace(folder, "", DIMENSION)
        assert {name: fields["seed"] for name, (_, fields) in content(namespace).items()} == model
        assert namespace.list_ids("", "", 100) == sorted(model)


def test_listing_goes_page_by_page_within_a_prefix(tmp_path: Path) -> None:
    namespace = store.Namespace(tmp_path / "n", "", DIMENSION)
    upsert(namespace, "12.1", "12.2", "12.3", "13.1", "1")
    assert namespace.list_ids("12.", "", 2) == ["12.1", "12.2"]
    assert namespace.list_ids("12.", "12.2", 2) == ["12.3"]


def test_a_mostly_dead_namespace_is_rewritten_at_start(tmp_path: Path) -> None:
    index = catalog.Catalog(tmp_path).create(catalog.Settings("a", DIMENSION, "cosine"))
    namespace = index.get_or_create("v2")
    ids = [str(number) for number in range(600)]
    for seed in range(4):
        upsert(namespace, *ids, seed=seed)
    expected = content(namespace)
    again = catalog.Catalog(tmp_path).get("a").get("v2")
    assert content(again) == expected
    assert again.dead_rows == 0
    assert content(catalog.Catalog(tmp_path).get("a").get("v2")) == expected


def test_a_kill_between_rewrite_and_removal_leaves_one_namespace(tmp_path: Path) -> None:
    index = catalog.Catalog(tmp_path).create(catalog.Settings("a", DIMENSION, "cosine"))
    namespace = index.get_or_create("v2")
    upsert(namespace, "a", "b")
    namespace.copy_to(namespace.folder.with_name(namespace.folder.name.replace("-000000", "-000001")))
    namespace.copy_to(namespace.folder.with_name(f"{namespace.folder.name}.tmp"))
    again = catalog.Catalog(tmp_path).get("a")
    assert content(again.get("v2")) == content(namespace)
    assert len(list((again.folder / "namespaces").iterdir())) == 1


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_scores_are_those_of_the_metric_and_in_its_order(tmp_path: Path, metric: str) -> None:
    namespace = store.Namespace(tmp_path / "n", "", DIMENSION)
    rng = np.random.default_rng(7)
    rows = rng.standard_normal((200, DIMENSION)).astype("<f4")
    namespace.upsert([str(n) for n in range(200)], rows, [metadata.encode({"even": n % 2 == 0}) for n in range(200)])
    query = rng.standard_normal(DIMENSION).astype("<f4")
    exact = {
        "cosine": rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query)),
        "dotproduct": rows @ query,
        "euclidean": ((rows - query) ** 2).sum(axis=1),
    }[metric]
    order = np.argsort(exact if metric == "euclidean" else -exact, kind="stable")
    found = search.nearest(namespace, metric, query, 10, None)
    assert [row for _, row in found] == order[:10].tolist()
    np.testing.assert_allclose([score for score, _ in found], exact[order[:10]], rtol=1e-4, atol=1e-5)
    even = search.nearest(namespace, metric, query, 10, lambda fields: fields["even"] is True)
    assert [row for _, row in even] == [row for row in order.tolist() if row % 2 == 0][:10]


def test_a_namespace_is_as_large_as_its_live_records(tmp_path: Path) -> None:
    """Pinecone bills queries by it: what was replaced or deleted is not in it, also after a restart."""
    one = b"m" * 10
    namespace = store.Namespace(tmp_path / "n", "n", 4)
    namespace.upsert(["a", "bb"], np.ones((2, 4), "f4"), [one, one])
    assert namespace.size_bytes == 1 + 2 + 2 * (16 + 10)
    namespace.upsert(["a", "a"], np.ones((2, 4), "f4"), [b"", one * 2])
    assert namespace.size_bytes == 1 + 2 + 2 * 16 + 10 + 20
    namespace.delete(["bb", "bb", "nobody"])
    assert namespace.size_bytes == 1 + 16 + 20
    assert store.Namespace(tmp_path / "n", "n", 4).size_bytes == 1 + 16 + 20
