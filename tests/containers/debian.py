"""What Debian brings where there is no engine: docker.io, a network for it, and a Compose that is new enough."""

import os
import pathlib
import re
import shutil

from tests.containers import run

# dockerd and its helpers; slirp4netns gives the engine's network namespace a way out; mmdebstrap makes base images.
PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "slirp4netns": "slirp4netns",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "ip": "iproute2",
}
COMPOSE_NEEDED = (2, 24)
# The first release whose Compose is new enough; its program runs on Debian 12 too (it needs glibc 2.34).
COMPOSE_SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def install() -> None:
    """Install what is missing. No service is started: RUNLEVEL and Debian's own policy-rc.d keep them from it.

    Raises:
        run.Failed: apt cannot.
    """
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing:
        return
    told = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run.output("apt-get", "update", "-qq", environment=told)
    run.output("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, environment=told)


def version(text: str) -> tuple[int, ...]:
    """The numbers of "2.26.1-4" or "v2.29.7"."""
    found = re.match(r"v?(\d+)\.(\d+)", text.strip())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def compose_is_new_enough(said: str) -> bool:
    """Whether a Compose that says this version reads our files."""
    return version(said) >= COMPOSE_NEEDED


def compose(folder: pathlib.Path) -> pathlib.Path:
    """A folder for DOCKER_CONFIG with Compose among its plugins, taken out of Debian's package without installing it.

    Raises:
        run.Failed: The package cannot be fetched, or its program does not run here.
    """
    plugin = folder / "docker" / "cli-plugins" / "docker-compose"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_unpacked(folder), plugin)
        plugin.chmod(0o755)
    said = run.output(os.fspath(plugin), "version", "--short")
    if not compose_is_new_enough(said):
        raise run.Failed(f"Compose {said.strip()} of Debian {COMPOSE_SUITE} is older than {COMPOSE_NEEDED}")
    return folder / "docker"


def _unpacked(folder: pathlib.Path) -> pathlib.Path:
    """Debian's package of Compose, fetched and checked by apt with lists of its own, unpacked."""
    apt = folder / "apt"
    for each in ("lists/partial", "cache/archives/partial", "package"):
        (apt / each).mkdir(parents=True, exist_ok=True)
    sources = apt / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {COMPOSE_SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    apt_get = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    run.output(*apt_get, "update", "-qq")
    run.output(*apt_get, "download", "-qq", "docker-compose", cwd=os.fspath(apt / "package"))
    (package,) = (apt / "package").glob("docker-compose_*.deb")
    run.output("dpkg", "-x", os.fspath(package), os.fspath(apt / "package"))
    return apt / "package" / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-compose"


def mirror() -> str:
    """Where this machine's own packages come from."""
    for source in [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        if source.is_file() and (found := re.search(r"https?://\S+/debian/?(?=\s)", source.read_text())):
            return found[0].rstrip("/")
    raise run.Failed("apt's sources name no mirror of Debian")
