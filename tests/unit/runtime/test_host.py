"""CPU and memory of the machine or the container."""

import os
import pathlib

import pytest

from services.runtime import host

MEMINFO = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     400 kB\n"


@pytest.fixture
def proc(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "stat").write_text("cpu  100 50 50 700 100 0 0 0 0 0\ncpu0 1 1 1 1 1 0 0 0 0 0\n")
    (folder / "meminfo").write_text(MEMINFO)
    return folder


def seen(proc: pathlib.Path, cgroup: pathlib.Path) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["state"]): sample.value
        for family in host.Host(proc, cgroup).collect()
        for sample in family.samples
    }


def test_a_machine_shows_all_its_processors_and_its_memory(proc: pathlib.Path, tmp_path: pathlib.Path) -> None:
    found = seen(proc, tmp_path / "none")
    tick = os.sysconf("SC_CLK_TCK")

    assert found == {
        ("vectorline_host_cpu_seconds_total", "busy"): 200 / tick,
        ("vectorline_host_cpu_seconds_total", "idle"): 800 / tick,
        ("vectorline_host_memory_bytes", "used"): 600 * 1024,
        ("vectorline_host_memory_bytes", "available"): 400 * 1024,
    }


@pytest.mark.parametrize(("limit", "used", "available"), [("1000", 300, 700), ("max", 600 * 1024, 400 * 1024)])
def test_a_container_with_a_limit_shows_what_is_left_of_it(
    proc: pathlib.Path, tmp_path: pathlib.Path, limit: str, used: float, available: float
) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("500\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 200\n")
    found = seen(proc, tmp_path)

    assert found["vectorline_host_memory_bytes", "used"] == used
    assert found["vectorline_host_memory_bytes", "available"] == available


def test_elsewhere_there_is_none_of_it(tmp_path: pathlib.Path) -> None:
    assert not seen(tmp_path / "none", tmp_path)
