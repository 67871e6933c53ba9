import os
import pathlib

import pytest

from services.ingest import failures
from services.ingest.sources import local


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    inside = tmp_path / "csv"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.csv").write_bytes(b"id,text\n1,a\n")
    (tmp_path / "secret.csv").write_bytes(b"secret")
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "linked").symlink_to(inside / "deep")
    os.mkfifo(inside / "fifo")
    return inside


def test_a_file_is_pinned_and_read_from_any_offset(folder: pathlib.Path) -> None:
    source = local.LocalSource(folder, "deep/a.csv")
    pinned = source.pin()
    assert (pinned.uri, pinned.size_bytes, pinned.display_name) == ("file:deep/a.csv", 12, "a.csv")
    stream = local.LocalSource(folder, pinned.uri).open(pinned, 8)
    assert [stream.read(3), stream.read(3), stream.read(3)] == [b"1,a", b"\n", b""]
    stream.close()
    stream.close()


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "deep/../../secret.csv", "/etc/passwd", "link.csv", "linked/a.csv",
     "fifo", "deep", "", ".", "a\0b", "deep//a.csv",
     "deep/a.csv/x"],
)  # fmt: skip
def test_nothing_but_regular_files_below_the_folder_is_opened(folder: pathlib.Path, path: str) -> None:
    with pytest.raises(failures.SourceFailure) as caught:
        local.LocalSource(folder, path).pin()
    assert caught.value.reason == "SOURCE_FORBIDDEN"


def test_a_device_is_refused() -> None:
    with pytest.raises(failures.SourceFailure, match="SOURCE_FORBIDDEN"):
        local.LocalSource(pathlib.Path("/dev"), "null").pin()


def test_a_missing_file_and_local_files_turned_off_are_named(folder: pathlib.Path) -> None:
    with pytest.raises(failures.SourceFailure, match="SOURCE_NOT_FOUND"):
        local.LocalSource(folder, "none.csv").pin()
    with pytest.raises(failures.SourceFailure, match="USE_LOCAL_FILES"):
        local.LocalSource(None, "deep/a.csv").pin()


def test_a_changed_file_is_noticed_at_opening_and_at_its_end(folder: pathlib.Path) -> None:
    source = local.LocalSource(folder, "deep/a.csv")
    pinned = source.pin()
    stream = source.open(pinned)
    with (folder / "deep" / "a.csv").open("ab") as file:
        file.write(b"2,b\n")
    assert stream.read(100) == b"id,text\n1,a\n2,b\n"
    with pytest.raises(failures.SourceFailure, match="SOURCE_CHANGED"):
        stream.read(100)
    stream.close()
    with pytest.raises(failures.SourceFailure, match="SOURCE_CHANGED"):
        source.open(pinned)
