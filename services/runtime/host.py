"""CPU and memory of where the process runs: of its container, where that has a limit of memory, else of the machine.

Read when it is asked for (a scrape), from Linux's own files; elsewhere there is none of it. A node exporter tells more,
but none can be had beside a container without a machine (Fargate).
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Final

from prometheus_client import core, registry

from services.runtime import metrics

PROC: Final = pathlib.Path("/proc")
CGROUP: Final = pathlib.Path("/sys/fs/cgroup")

CPU: Final = "vectorline_host_cpu_seconds"
MEMORY: Final = "vectorline_host_memory_bytes"
metrics.OVER[CPU] = metrics.OVER[MEMORY] = metrics.Over.EACH  # replicas may stand on one machine
# What is named in its first lines: user nice system idle iowait irq softirq steal; man 5 proc_stat.
_STATES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_WAITING: Final = ("idle", "iowait")


class Host(registry.Collector):
    """CPU seconds of the machine's processors together, busy and idle, and bytes of memory, used and available."""

    def __init__(self, proc: pathlib.Path = PROC, cgroup: pathlib.Path = CGROUP) -> None:
        self._proc = proc
        self._cgroup = cgroup

    def collect(self) -> Iterator[core.Metric]:
        """What is there now."""
        try:
            busy, idle = self._cpu()
            used, available = self._container() or self._machine()
        except (OSError, ValueError, KeyError):  # no Linux, or one that hides them
            return
        cpu, memory = self.describe()
        for family, state, value in (
            (cpu, "busy", busy),
            (cpu, "idle", idle),
            (memory, "used", used),
            (memory, "available", available),
        ):
            family.add_metric([state], value)
        yield cpu
        yield memory

    def describe(self) -> tuple[core.CounterMetricFamily, core.GaugeMetricFamily]:
        """The two, without a value: nothing is read for them."""
        return (
            core.CounterMetricFamily(CPU, "CPU seconds of all processors of the machine, by state.", labels=["state"]),
            core.GaugeMetricFamily(
                MEMORY, "Memory of the container if it has a limit, else of the machine, by state.", labels=["state"]
            ),
        )

    def _cpu(self) -> tuple[float, float]:
        line = (self._proc / "stat").read_text().partition("\n")[0].split()
        seconds = {name: int(ticks) / os.sysconf("SC_CLK_TCK") for name, ticks in zip(_STATES, line[1:], strict=False)}
        idle = sum(seconds[name] for name in _WAITING)
        return sum(seconds.values()) - idle, idle

    def _machine(self) -> tuple[float, float]:
        lines = (self._proc / "meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        total, available = kilobytes["MemTotal"] * 1024.0, kilobytes["MemAvailable"] * 1024.0
        return total - available, available

    def _container(self) -> tuple[float, float] | None:
        """By cgroup v2: what the kernel would have to kill for. Files that are merely cached are not."""
        try:
            limit = (self._cgroup / "memory.max").read_text().strip()
            current = int((self._cgroup / "memory.current").read_text())
            stat = dict(line.split() for line in (self._cgroup / "memory.stat").read_text().splitlines())
        except FileNotFoundError:
            return None
        if limit == "max":
            return None
        used = current - int(stat.get("inactive_file", 0))
        return float(used), max(0.0, float(int(limit) - used))
