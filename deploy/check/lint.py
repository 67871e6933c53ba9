"""What can be read without an account: templates and policies by cfn-lint and checkov, the unit by systemd."""

import json
import os
import pathlib
import re
import shutil
import subprocess
from typing import Any, Final

from deploy.check import report
from deploy.operations import line as lines

SECONDS: Final = 240
UNIT: Final = lines.ROOT / "systemd" / "vectorline.service"


def templates(tools: pathlib.Path, checkov: pathlib.Path, say: report.Report) -> None:
    """Every template is clean; each of checkov's findings that is left stands in the template with its reason."""
    paths = sorted(str(path) for path in lines.TEMPLATES.glob("*.yml"))
    _run([str(tools / "bin" / "cfn-lint"), "--", *paths])
    say.shown(f"cfn-lint: {len(paths)} templates, nothing found")
    said = _run([str(checkov / "bin" / "checkov"), *_checkov(paths)], allowed=(0, 1))
    found: dict[str, Any] = json.loads(said)
    failed = [
        f"{each['check_id']} {each['resource']} {each['check_name']}" for each in found["results"]["failed_checks"]
    ]
    report.expect(not failed, "checkov: " + "\n".join(failed))
    summary = found["summary"]
    report.expect(summary["parsing_errors"] == 0, f"checkov could not read {summary['parsing_errors']} files")
    bare = [
        each["check_id"] for each in found["results"]["skipped_checks"] if not each["check_result"]["suppress_comment"]
    ]
    report.expect(not bare, f"without a reason: {bare}")
    say.shown(f"checkov: {summary['passed']} passed, {summary['skipped']} left out with a reason each")


def _checkov(paths: list[str]) -> list[str]:
    files = [part for path in paths for part in ("--file", path)]
    return [*files, "--framework", "cloudformation", "--output", "json", "--skip-download"]


def unit(folder: pathlib.Path, say: report.Report) -> None:
    """Systemd takes the unit. Where the machine has no systemd-analyze it is not shown."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        say.say("  --  the unit of systemd: there is no systemd-analyze here (Debian: apt-get install systemd)")
        return
    # It looks whether the programs are there: /usr/bin/docker need not be, here.
    copy = folder / UNIT.name
    copy.write_text(re.sub(r"/usr/bin/docker", "/bin/true", UNIT.read_text()).replace("docker.service", "basic.target"))
    said = _run([analyze, "verify", str(copy)])
    report.expect(not said.strip(), f"systemd-analyze: {said}")
    say.shown("systemd-analyze verify: the unit is clean")


def _run(command: list[str], allowed: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(
        command,
        cwd=lines.ROOT.parent,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    name = pathlib.Path(command[0]).name
    report.expect(done.returncode in allowed, f"{name}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout
