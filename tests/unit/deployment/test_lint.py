"""hadolint and shellcheck over all that is theirs."""

import shutil
import subprocess
import sysconfig

from tests.unit.deployment import code


def scripts() -> list[str]:
    """Every shell script of the repository, by its first line."""
    listed = subprocess.run(["git", "ls-files"], cwd=code.ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in listed.splitlines():
        path = code.ROOT / name
        if path.is_file() and "." not in path.name.removesuffix(".sh"):
            with path.open("rb") as file:
                if file.readline().rstrip() in (b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh"):
                    found.append(name)
    return found


def lint(tool: str, *arguments: str) -> None:
    program = shutil.which(tool, path=sysconfig.get_path("scripts"))
    assert program is not None, f"{tool} is not there: make install"
    done = subprocess.run([program, *arguments], cwd=code.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    lint("hadolint", "Dockerfile")


def test_every_script_is_as_shellcheck_wants_it() -> None:
    found = scripts()

    assert {".ci/run", "requirements/install.sh", "deploy/compose/roll"} <= set(found)
    lint("shellcheck", "--severity=style", *found)
