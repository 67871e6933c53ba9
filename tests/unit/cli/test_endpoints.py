from __future__ import annotations

import pathlib

from cli import endpoints

FILE = """
# written by make up
INGEST_ADDR=127.0.0.1:1
export EMBEDDER_ADDR="127.0.0.1:2"
INDEXER_ADDR='127.0.0.1:3'
API_KEY=from=file
"""


def write(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    (folder / "endpoints.env").write_text(FILE)


def test_the_file_is_found_in_a_folder_above(tmp_path):
    write(tmp_path / ".run")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)

    found = endpoints.resolve({}, {}, deep)

    assert found.addresses == {"ingest": "127.0.0.1:1", "embedder": "127.0.0.1:2", "indexer": "127.0.0.1:3"}
    assert found.api_key == "from=file"


def test_flags_win_over_the_environment(tmp_path):
    environment = {"INGEST_ADDR": "environment:1", "EMBEDDER_ADDR": "environment:2", "API_KEY": "environment"}

    found = endpoints.resolve({"INGEST_ADDR": "flag:1", "API_KEY": None}, environment, tmp_path)

    assert found.addresses == {"ingest": "flag:1", "embedder": "environment:2"}
    assert found.api_key == "environment"


def test_no_key_reaches_an_address_of_another_origin(tmp_path):
    """A file in a folder above may be anybody's: it is not sent the key of the environment, nor the other way round."""
    write(tmp_path / ".run")

    of_the_file = endpoints.resolve({}, {"API_KEY": "environment"}, tmp_path)
    of_the_environment = endpoints.resolve({}, {"INGEST_ADDR": "environment:1"}, tmp_path)
    by_flag = endpoints.resolve({"API_KEY": "flag"}, {}, tmp_path)

    assert (of_the_file.addresses["ingest"], of_the_file.api_key) == ("127.0.0.1:1", "from=file")
    assert (of_the_environment.addresses, of_the_environment.api_key) == ({"ingest": "environment:1"}, "")
    assert (by_flag.addresses["ingest"], by_flag.api_key) == ("127.0.0.1:1", "flag")


def test_run_dir_names_the_only_place_to_look(tmp_path):
    write(tmp_path / ".run")
    write(tmp_path / "other")

    assert endpoints.find_file(tmp_path, {"RUN_DIR": str(tmp_path / "other")}) == tmp_path / "other" / "endpoints.env"
    assert endpoints.find_file(tmp_path, {"RUN_DIR": str(tmp_path / "none")}) is None


def test_the_key_is_not_in_what_is_printed_of_it(tmp_path):
    assert "secret" not in repr(endpoints.Endpoints(addresses={}, api_key="secret"))
