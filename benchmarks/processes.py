"""CPU and memory of processes, from /proc."""

import dataclasses
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Usage:
    """Of one process: CPU seconds so far, and the peak of its resident memory in bytes."""

    cpu_seconds: float
    peak_bytes: int


def usage(pid: int) -> Usage:
    """Read a process's usage; threads are counted in, children are not."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(line for line in status if line.startswith("VmHWM:"))
    return Usage(ticks / TICKS, int(peak.split()[1]) * 1024)


def resident_bytes(pid: int) -> int:
    """Resident memory now."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
