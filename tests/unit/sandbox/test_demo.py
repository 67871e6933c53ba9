"""The demo against a gateway that reads what is uploaded and answers as the contract says."""

from __future__ import annotations

import csv
import io
import json
import threading
from http import server
from urllib import parse

import pytest

from sandbox.demo import demo, gateway, problems, sample

ROWS = 200


class FakeGateway(server.ThreadingHTTPServer):
    """Answers the five routes of the demo. A test changes what they say."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.task = {"task_id": "t-1", "status": "processing", "progress": counts(sample.Expected(0, 0, 0, 0))}
        self.final: list[dict] = []
        self.wrong_shelf = False
        self.health = ["unhealthy", "healthy"]
        self.uploads: list[tuple[str, dict[str, list[str]], int]] = []
        self.keys: set[str | None] = set()
        self.rejected: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeGateway

    def do_GET(self) -> None:
        path = parse.urlsplit(self.path).path
        if path == "/api/v1/health":
            status = self.server.health.pop(0) if len(self.server.health) > 1 else self.server.health[0]
            self.reply(200 if status == "healthy" else 503, {"status": status, "message": "not yet"})
        elif path == "/api/v1/status/t-1/rejects":
            text = io.StringIO()
            writer = csv.DictWriter(text, ["id", "row_number", "reason", "message"])
            writer.writeheader()
            writer.writerows(self.server.rejected)
            self.reply(200, text.getvalue())
        elif path == "/api/v1/status/t-1":
            self.reply(200, self.server.task)
            if self.server.final:
                self.server.task = self.server.final.pop(0)
        else:
            self.reply(404, {"code": 5, "message": "There is no such path.", "details": []})

    def do_POST(self) -> None:
        self.server.keys.add(self.headers["X-API-Key"])
        address = parse.urlsplit(self.path)
        if address.path == "/api/v1/search":
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            shelf = next(asked.category for asked in demo.QUESTIONS if asked.text == question["text"])
            row = {"title": "A thing", "category": "nowhere" if self.server.wrong_shelf else shelf, "price": 9.5}
            self.reply(200, {"matches": [{"id": "232.1", "score": 0.5, "metadata": row}] * question["top_k"]})
            return
        assert self.headers["Transfer-Encoding"] == "chunked"  # streamed, not held in memory
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        rows = len(list(csv.reader(io.StringIO(body.decode())))) - 1
        self.server.uploads.append((address.path, parse.parse_qs(address.query), rows))
        self.reply(202, {"task_id": "t-1", "status": "pending", "message": "", "created_at": ""})

    def reply(self, code: int, body: object) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def counts(want: sample.Expected) -> dict[str, int]:
    return {
        "total_records": want.rows_read,
        "processed_records": want.indexed,
        "skipped_records": want.skipped,
        "failed_records": want.failed,
    }


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setattr(gateway, "POLL_SECONDS", 0.0)
    want = sample.expected(ROWS)
    made = FakeGateway()
    made.final = [
        {"task_id": "t-1", "status": "processing_chunks", "progress": counts(sample.Expected(ROWS, 50, 0, 0))},
        {"task_id": "t-1", "status": "partially_completed", "progress": counts(want)},
    ]
    made.rejected = [{"id": "P-1", "row_number": "23", "reason": "empty_text", "message": "The text is empty."}] * (
        want.failed + want.skipped
    )
    serving = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    (tmp_path / "endpoints.env").write_text(f"GATEWAY_URL={made.url}\nAPI_KEY=demo-key\n")
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    for name in ("GATEWAY_URL", "API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.shutdown()
    serving.join()
    made.server_close()


def test_the_demo_uploads_follows_shows_and_searches(line, capsys):
    code = demo.main(["--rows", str(ROWS)])
    said = capsys.readouterr().out

    assert code == 0, said
    asked = {"question_id": ["232"], "namespace": ["demo"], "mode": ["force"]}  # also where it was loaded before
    assert line.uploads == [("/api/v1/upload/sample.csv", asked, ROWS)]
    assert line.keys == {"demo-key"}
    assert "empty_text" in said
    assert f"{line.url}/#/task/t-1" in said
    assert all(question.text in said for question in demo.QUESTIONS)
    assert f"{line.url}/api/v1/status/t-1" in said
    assert "\x1b" not in said


def test_a_wrong_count_fails_the_demo_and_names_it(line, capsys):
    line.final[-1]["progress"]["processed_records"] -= 1

    assert demo.main(["--rows", str(ROWS)]) == 1
    assert "The counts are" in capsys.readouterr().out


def test_a_failed_task_fails_the_demo_with_its_reason(line, capsys):
    line.final[-1] |= {"status": "failed", "error": "The file is empty."}

    assert demo.main(["--rows", str(ROWS)]) == 1
    assert "The file is empty." in capsys.readouterr().out


def test_a_blocked_task_does_not_hang_the_demo(line, capsys):
    line.final = [line.final[0] | {"status": "blocked", "error": "No quota."}]

    assert demo.main(["--rows", str(ROWS)]) == 1
    assert "The task is blocked: No quota." in capsys.readouterr().out


def test_a_reject_without_a_name_fails_the_demo(line, capsys):
    line.rejected.pop()

    assert demo.main(["--rows", str(ROWS)]) == 1
    assert "rows are named" in capsys.readouterr().out


def test_an_answer_from_the_wrong_shelf_fails_the_demo(line, capsys):
    line.wrong_shelf = True

    assert demo.main(["--rows", str(ROWS)]) == 1
    assert "(nowhere) first" in capsys.readouterr().out


def test_without_a_line_the_demo_says_how_to_start_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    monkeypatch.delenv("GATEWAY_URL", raising=False)

    assert demo.main([]) == 1
    assert "make up" in capsys.readouterr().out


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        self.now += 1


def test_a_task_that_does_not_move_is_given_up(line):
    line.final = []
    clock = Clock()
    with (
        gateway.Gateway(line.url, "k", clock=clock, sleep=clock.sleep) as client,
        pytest.raises(problems.ProblemError, match="has not moved for 120 s"),
    ):
        list(client.follow("t-1"))

    assert gateway.STALL_SECONDS < clock.now < gateway.STALL_SECONDS + 5


def test_a_gateway_that_is_gone_is_given_up_after_half_a_minute(line):
    clock = Clock()
    with (
        gateway.Gateway(line.url, "k", clock=clock, sleep=clock.sleep) as client,
        pytest.raises(problems.ProblemError, match="There is no such path"),
    ):
        list(client.follow("t-2"))

    assert gateway.OUTAGE_SECONDS < clock.now < gateway.OUTAGE_SECONDS + 5
