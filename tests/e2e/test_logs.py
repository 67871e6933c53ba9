"""What a whole line logs holds no key, no token and no text of a row."""

import json
import pathlib

import httpx

from docs import actions
from tests.support import csvs
from tests.support.line import Line

CANARY = "Quixotic zebra of customer 4711"


def logged(line: Line) -> dict[str, str]:
    files = sorted((line.folder / "logs").rglob("*"))
    assert any(file.name.startswith("embedder") for file in files)
    return {file.name: file.read_text(errors="replace") for file in files if pathlib.Path(file).is_file()}


def test_no_log_of_the_session_holds_a_secret_or_row_text(line: Line) -> None:
    rows: list[tuple[str, ...]] = [
        *csvs.rows(500),
        ("whole", f"{CANARY}, told as it is", "1", "true", "1"),
        ("", f"{CANARY} without an id", "1", "true", "1"),
        ("long", f"{CANARY} " * 9_000, "1", "true", "1"),
        ("ragged", CANARY),
    ]
    task = line.finished(line.upload(csvs.of(rows), namespace="canary"))
    assert task["status"] == "partially_completed"
    assert line.rejects(task["task_id"])
    broken = csvs.of(csvs.rows(5)) + f'"9","{CANARY} and no closing quote,1,true,1\n'.encode()
    assert line.finished(line.upload(broken, namespace="canary"))["error_reason"] == "UNBALANCED_QUOTE"
    line.rest.post("/api/v1/search", json={"text": CANARY, "namespace": "canary"})
    line.rest.post("/api/v1/search", json={"text": CANARY, "namespace": "canary", "filter": {CANARY: {"$no": CANARY}}})
    line.rest.post("/api/v1/process", json={"data_source": "s3_csv", "s3_key": "none.csv", "text_template": CANARY})
    httpx.get(f"{line.endpoints['GATEWAY_URL']}/api/v1/tasks", headers={"x-api-key": "vl_canary_wrong_key"})

    secrets = {name: line.endpoints[name] for name in ("API_KEY", "INTERNAL_TOKEN")}
    found = [
        (file, name)
        for file, text in logged(line).items()
        for name, value in {**secrets, "row": CANARY, "wrong key": "vl_canary_wrong_key"}.items()
        if value in text
    ]

    assert found == []


def test_every_action_of_the_session_is_in_the_catalogue(line: Line) -> None:
    line.finished(line.upload(csvs.of(csvs.rows(50)), namespace="catalogue"))
    services = ("ingest", "embedder", "indexer")
    lines = [
        json.loads(text)
        for file, content in logged(line).items()
        if file.startswith(services)
        for text in content.splitlines()
        if text.startswith("{")
    ]
    listed = {each.action for each in actions.lines()}

    assert {each["service"] for each in lines if "service" in each} == set(services)
    assert {each["action"] for each in lines if "logger" not in each} <= listed
    assert {"rpc", "task_status", "published"} <= {each.get("action") for each in lines}
