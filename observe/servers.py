"""Prometheus and Alertmanager: those on the PATH, else Debian's packages, unpacked and not installed.

Nothing of production needs them here: they are for the tests and for `make observe`.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Final

# The names that each binary may have.
BINARIES: Final = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
TEMPLATE: Final = pathlib.Path("/usr/share/prometheus/alertmanager/default.tmpl")
PACKAGES: Final = ("prometheus", "prometheus-alertmanager")
FETCH_SECONDS: Final = 120.0


class MissingServer(Exception):
    """One is neither here nor to be had; the message says what to do."""


def folder() -> pathlib.Path:
    """Where packages are unpacked: within the virtual environment, which may be thrown away."""
    return pathlib.Path(sys.prefix) / "prometheus"


def path(name: str) -> pathlib.Path:
    """The binary of `prometheus`, `promtool` or `alertmanager`; fetched once where apt can.

    Raises:
        MissingServer: It is neither here nor to be had.
    """
    found = _present(name)
    if found is None:
        _fetch()
        found = _present(name)
    if found is None:
        raise MissingServer(f"There is no {name}: {REMEDY}")
    return found


REMEDY: Final = (
    "install Debian's packages (apt-get install prometheus prometheus-alertmanager), or put prometheus, promtool and "
    "alertmanager of prometheus.io on the PATH."
)


def command(name: str) -> list[str]:
    """How it is started.

    Debian's Alertmanager reads a template at a fixed place, which a package that is only unpacked has elsewhere: it
    sees the package's /usr/share in the place of the machine's, by a mount of its own.

    Raises:
        MissingServer: It is neither here nor to be had.
    """
    binary = path(name)
    if name != "alertmanager" or not binary.is_relative_to(folder()) or TEMPLATE.exists():
        return [str(binary)]
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    mounted = 'mount --bind "$1" /usr/share && exec "$2" "${@:3}"'
    return ["unshare", "--mount", *rights, "bash", "-c", mounted, "--", str(folder() / "usr" / "share"), str(binary)]


def _present(name: str) -> pathlib.Path | None:
    places = os.pathsep.join((os.environ.get("PATH", ""), str(folder() / "usr" / "bin")))
    found = next(filter(None, (shutil.which(each, path=places) for each in BINARIES[name])), None)
    return None if found is None else pathlib.Path(found)


def _fetch() -> None:
    """Unpack the packages: as files, so that no daemon starts and nothing of the machine changes."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return
    with tempfile.TemporaryDirectory(dir=sys.prefix, prefix="prometheus-") as made:
        target = pathlib.Path(made)
        try:
            if not _apt(target, "download", *PACKAGES):
                _apt(target, "update")  # its lists may be absent or old
                _apt(target, "download", *PACKAGES)
            for package in target.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(package), str(target)], check=True, capture_output=True)  # noqa: S607
                package.unlink()
            target.rename(folder())
        except (OSError, subprocess.SubprocessError):
            return  # another was first; or no network, or no right to: the caller says what to do instead
        target.mkdir()  # for the context to take away


def _apt(target: pathlib.Path, *arguments: str) -> bool:
    done = subprocess.run(
        ["apt-get", "-q", *arguments],  # noqa: S607
        cwd=target,
        check=False,
        capture_output=True,
        timeout=FETCH_SECONDS,
    )
    return done.returncode == 0
