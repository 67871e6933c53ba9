"""`vectorline top` on a real line shows what the line's own calls say."""

import json
import os
import subprocess
import sys

from tests.support import csvs
from tests.support.line import Line


def test_one_look_is_what_the_monitoring_calls_say(line: Line) -> None:
    task_id = line.upload(csvs.of(csvs.rows(20)), namespace="top")
    line.finished(task_id)
    environment = {**os.environ, "RUN_DIR": str(line.folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("INGEST_ADDR", "EMBEDDER_ADDR", "INDEXER_ADDR", "API_KEY"):
        environment.pop(name, None)

    def look(form: str) -> str:
        command = [sys.executable, "-m", "cli", "top", form]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    told, shown = json.loads(look("--json")), look("--once")
    health = line.rest.get("/api/v1/monitoring/health/detailed").json()
    dashboard = line.rest.get("/api/v1/monitoring/dashboard").json()

    assert told["health"]["services"] == health["services"]
    assert [each["name"] for each in told["health"]["queues"]["queues"]] == ["first", "high", "normal", "low"]
    assert told["dashboard"]["statistics"]["rows_indexed"] == dashboard["statistics"]["rows_indexed"]
    assert f"{dashboard['statistics']['rows_indexed']:,.0f} rows indexed" in shown
    assert f"{health['workers']['available']} slots free" in shown
