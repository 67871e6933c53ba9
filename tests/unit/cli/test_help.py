"""What the command says of itself: examples that are right, completion, the manual page; and that it is complete."""

from __future__ import annotations

import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import typer
from vectorline.v1 import access_pb2, embedder_pb2, indexer_pb2, ingest_pb2, job_pb2, monitoring_pb2, task_pb2

from cli import arguments, main
from tests.unit.cli import fake_line

ROOT = typer.main.get_command(main.app)
# By which command a public method is called.
METHODS = {
    "Process": "process s3://b/k --question-id 1",
    "Upload": "process items.csv --question-id 1",
    "Estimate": "estimate s3://b/k --question-id 1",
    "RetryTask": "retry TASK",
    "ConfirmTask": "confirm TASK --checksum x",
    "RetryTasks": "retry --status failed --dry-run",
    "Verify": "verify --question-id 1 --dry-run",
    "Adopt": "adopt --question-id 1 --dry-run",
    "Remove": "remove --question-id 1 --dry-run",
    "GetRejects": "rejects TASK",
    "Search": "search x",
    "GetHealth": "health",
    "GetDetailedHealth": "health --detailed",
    "GetWorkers": "workers",
    "GetQueues": "queue",
    "GetLimiter": "limits",
    "GetTask": "status TASK",
    "ListTasks": "tasks",
    "WatchTask": "watch TASK",
    "CancelTask": "cancel TASK",
    "GetTaskProgress": "pace TASK",
    "GetActiveProgress": "pace",
    "GetStatistics": "statistics",
    "GetBill": "bill",
    "GetAnomalies": "anomalies",
    "GetDashboard": "overview",
    "GetMetrics": "metrics",
    "HealTasks": "cleanup",
    "ReleaseNamespace": "namespace release v2",
}


def commands(group=ROOT, prefix=()):
    """Every command with its words, those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        elif not command.hidden:
            yield (*prefix, name), command


def examples():
    for words, command in commands():
        for call in re.findall(r"^  vectorline (.+)$", command.epilog or "", re.MULTILINE):
            yield pytest.param(words, call, id=call)


@pytest.mark.parametrize(("words", "command"), [(words, command) for words, command in commands()], ids=str)
def test_every_help_has_examples(words, command):
    if words[0] in {"init", "doctor", "config", "migrate"}:  # they read settings, and nothing of a line
        return
    assert "Examples:" in (command.epilog or ""), words


@pytest.mark.parametrize(("words", "call"), list(examples()))
def test_every_example_is_understood(run, line, tmp_path, monkeypatch, words, call):
    """Without the shell's part of it. Where it is about a task there is one, and about a file, too."""
    monkeypatch.setattr("webbrowser.open", lambda address: True)
    monkeypatch.setenv("GATEWAY_URL", f"http://{line.address}")
    (tmp_path / "items.csv").write_text("id,formatted_text\n1,a\n")
    line.watches.extend([[fake_line.task("completed")]] * 2)
    line.answers |= ANSWERS
    if words[:1] == ("profile",) and words[1] != "add":
        run("profile", "add", "prod", "https://vectorline.example", "--no-key")
    plain = re.split(r" [|<>] ", call)[0].replace("TASK", fake_line.TASK_ID)
    result = run(*shlex.split(plain), input="id,formatted_text\n1,a\n")
    assert result.exit_code in (0, 1), result.output
    assert call.startswith(" ".join(words))


ANSWERS = {
    "GetQueues": monitoring_pb2.QueuesView(queues=[monitoring_pb2.Queue(name="first", waiting=3)], waiting=3),
    "GetWorkers": monitoring_pb2.WorkersView(workers=[monitoring_pb2.Worker(name="e-1", active=2)], active=2),
    "GetLimiter": monitoring_pb2.LimiterView(model="ada", requests_per_second=2.5, configured_requests_per_second=5),
    "GetStatistics": monitoring_pb2.Statistics(hours=24, tasks=7, by_status={"failed": 2}),
    "GetBill": monitoring_pb2.BillOverview(hours=24),
    "GetAnomalies": monitoring_pb2.Anomalies(hours=24),
    "GetDashboard": monitoring_pb2.Dashboard(open_by_status={"blocked": 1}),
    "GetMetrics": monitoring_pb2.Metrics(metrics=[monitoring_pb2.Metric(name="n", labels={"a": "b"}, value=4)]),
    "GetTaskProgress": monitoring_pb2.TaskPace(task_id="x", rows_per_second=12.5),
    "GetActiveProgress": monitoring_pb2.ActiveProgress(tasks=[monitoring_pb2.TaskPace(task_id="x")], total=1),
    "GetDetailedHealth": monitoring_pb2.DetailedHealth(status="healthy", problems=["nothing"]),
    "HealTasks": monitoring_pb2.HealTasksResponse(looked_at=4, healed_task_ids=["x"]),
    "Estimate": ingest_pb2.EstimateResponse(rows=1),
    "Upload": ingest_pb2.ProcessResponse(task_id=fake_line.TASK_ID, estimate=ingest_pb2.EstimateResponse(rows=1)),
    "RetryTask": ingest_pb2.ProcessResponse(task_id="new"),
    "Verify": job_pb2.VerifyResponse(forecast=job_pb2.JobForecast(ids=1)),
    "Adopt": job_pb2.AdoptResponse(forecast=job_pb2.JobForecast(ids=1)),
    "Remove": job_pb2.RemoveResponse(forecast=job_pb2.JobForecast(removed=1)),
    "ConfirmTask": ingest_pb2.ProcessResponse(task_id="x"),
}


def public():
    for module in (ingest_pb2, embedder_pb2, indexer_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.GetOptions().Extensions[access_pb2.access] != access_pb2.ACCESS_INTERNAL:
                    yield method.name, method


@pytest.mark.parametrize("name", sorted(name for name, method in public() if name not in {"Upload", "GetRejects"}))
def test_everything_that_the_api_can_do_can_be_called(run, line, name):
    """Also what has no command of its own, today or when the protos grow."""
    line.watches.append([fake_line.task("completed")])
    result = run("call", name)
    assert result.exit_code == 0, result.output
    assert line.calls == [name]


def test_a_call_takes_fields_and_says_what_is_wrong_with_them(run, line):
    told = run("call", "ListTasks", "status_filter=failed", "page_size=3", "--fields", "next_page_token")
    assert (line.requests[0].status_filter, line.requests[0].page_size) == ("failed", 3)
    assert told.stdout == '{"next_page_token": ""}\n'
    for wrong in (["ListTask"], ["ListTasks", "page_size"], ["ListTasks", "pagesize=3"], ["GetRejects"], ["Upload"]):
        assert run("call", *wrong).exit_code == 2
    assert len(line.calls) == 1


def test_a_call_that_is_repeated_makes_one_task(run, line):
    line.refusals["Remove"].append(fake_line.BREAK)
    assert run("call", "Remove", "question_id=232", "dry_run=false").exit_code == 0
    first, again = line.requests
    assert first.request_id == again.request_id != ""


@pytest.mark.parametrize("method", METHODS)
def test_each_command_calls_its_method(run, line, tmp_path, method):
    (tmp_path / "items.csv").write_text("id,formatted_text\n1,a\n")
    line.watches.append([fake_line.task("completed")])
    line.answers |= ANSWERS
    result = run(*METHODS[method].replace("TASK", fake_line.TASK_ID).split(), "--json")
    assert result.exit_code in (0, 1), result.output
    assert method in line.calls


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("queue", "first        3"),
        ("queue", "3 chunks wait, 0 are in work"),
        ("workers", "e-1"),
        ("limits", "Requests: 2.5 a second, 5 configured"),
        ("limits", "Tokens: no limit"),
        ("statistics", "by status failed  2"),
        ("metrics", 'n{a="b"} 4'),
        ("pace", "1 open tasks."),
        ("cleanup", "4 open tasks were looked at, 1 put in order."),
        ("anomalies", "Nothing in the last 24 hours."),
    ],
)
def test_views_are_for_people_too(run, line, command, shown):
    line.answers |= ANSWERS
    assert shown in run(command).stdout


def test_a_refusing_account_and_an_anomaly_are_no_success(run, line):
    line.answers["GetLimiter"] = monitoring_pb2.LimiterView(model="ada", blocked=True, blocked_reason="no quota")
    told = monitoring_pb2.Anomaly(kind="blocked_task", severity="critical", message="It is blocked.", task_id="x")
    line.answers["GetAnomalies"] = monitoring_pb2.Anomalies(anomalies=[told])
    limits, anomalies = run("limits"), run("anomalies")
    assert (limits.exit_code, anomalies.exit_code) == (1, 1)
    assert "The account refuses: no quota." in limits.stdout
    assert "critical: It is blocked.  x" in anomalies.stdout


# ---- completion and the manual


def test_a_shell_completes_task_ids_and_namespaces(line, monkeypatch, tmp_path):
    for name, value in line.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    made = [fake_line.task("failed"), fake_line.task("completed")]
    made[1].task_id, made[1].metadata.namespace = "ab-2", "other"
    line.answers["ListTasks"] = indexer_pb2.ListTasksResponse(tasks=made)

    assert arguments.tasks("6f") == [(fake_line.TASK_ID, "failed catalogue.csv")]
    assert [task for task, _ in arguments.tasks("")] == [fake_line.TASK_ID, "ab-2"]
    assert arguments.namespaces("") == ["v2", "other"]
    assert arguments.namespaces("o") == ["other"]


def test_completion_says_nothing_where_the_line_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("GATEWAY_URL", "INGEST_ADDR", "EMBEDDER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INDEXER_ADDR", "127.0.0.1:1")
    assert (arguments.tasks(""), arguments.namespaces("")) == ([], [])
    monkeypatch.delenv("INDEXER_ADDR")
    assert arguments.tasks("") == []


def test_the_completion_of_a_shell_reaches_it(line, monkeypatch, tmp_path):
    """As bash asks: by the environment of a process of its own."""
    line.answers["ListTasks"] = indexer_pb2.ListTasksResponse(tasks=[task_pb2.Task(task_id=fake_line.TASK_ID)])
    words = {"COMP_WORDS": "vectorline status 6f", "COMP_CWORD": "2", "_VECTORLINE_COMPLETE": "complete_bash"}
    command = pathlib.Path(sys.executable).with_name("vectorline")
    asked = {**line.environment, **words, "PATH": "/usr/bin:/bin", "XDG_CONFIG_HOME": str(tmp_path)}
    run = subprocess.run([command], env=asked, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert fake_line.TASK_ID in run.stdout


def test_the_manual_has_every_command_and_option(run):
    page = run("man").stdout
    assert page.startswith('.TH VECTORLINE 1 "')
    for words, command in commands():
        assert f".SS vectorline {' '.join(words)}".replace("-", "\\-") in page
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and not parameter.hidden:
                    assert option.replace("-", "\\-") in page, (words, option)
    assert "vectorline tasks \\-\\-failed \\-\\-since 2h" in page
    assert not re.search(r"^[.'](?!TH|SH|SS|TP|PP|B |I |nf|fi)", page, re.MULTILINE), "no text is taken for a request"


# ---- fields and the console


def test_fields_are_those_that_are_asked_for(run, line):
    line.answers["GetTask"] = fake_line.task("failed", total=9, failed=9, error_reason="NO_ROW_INDEXED")
    result = run(
        "status", fake_line.TASK_ID, "--fields", "task_id,progress.failed_records,error,metadata.parameters.mode"
    )
    assert result.stdout == (
        f'{{"task_id": "{fake_line.TASK_ID}", "progress.failed_records": 9, "error": null, '
        '"metadata.parameters.mode": null}\n'
    )


@pytest.mark.parametrize(("path", "known"), [("progres", "progress"), ("progress.done", "processed_records")])
def test_a_field_that_there_is_not_is_told_with_those_that_there_are(run, line, path, known):
    result = run("status", fake_line.TASK_ID, "--json", f"--fields={path}")
    assert result.exit_code == 2
    assert f"There is no '{path.rpartition('.')[2]}'" in result.output
    assert known in result.output


def test_open_leads_to_the_task_in_the_console_and_takes_no_key_along(run, line, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    gateway = ["--gateway", "http://localhost:8000"]
    assert run("open", fake_line.TASK_ID, *gateway).exit_code == 0
    assert opened == [f"http://localhost:8000/#/task/{fake_line.TASK_ID}"]
    assert run("open", "--print", *gateway).stdout == "http://localhost:8000/\n"
    assert "GATEWAY_URL" in run("open").stderr


def test_tasks_that_failed_lately_are_asked_for_by_their_statuses(run, line):
    assert run("tasks", "--failed", "--since", "2h", "--namespace", "v2").exit_code == 0
    assert [request.status_filter for request in line.requests] == ["failed", "partially_completed"]
    assert run("tasks", "--since", "soon").exit_code == 2
