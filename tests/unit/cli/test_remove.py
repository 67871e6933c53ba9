"""``vectorline remove``: how many first, then it is asked for."""

import pytest
from vectorline.v1 import bill_pb2, job_pb2, task_pb2

from tests.unit.cli import fake_line

PRICE = job_pb2.JobForecast(removed=1_200, fetched=20, bill=bill_pb2.Bill(write_units=7_400, read_units=2))


@pytest.fixture(autouse=True)
def answers(line):
    line.answers["Remove"] = lambda asked: (
        job_pb2.RemoveResponse(forecast=PRICE)
        if asked.dry_run
        else job_pb2.RemoveResponse(task_id=fake_line.TASK_ID, status="pending")
    )


def test_how_many_go_is_said_and_nothing_done(run, line):
    done = run("remove", "--question-id", "232", "--dry-run")
    assert done.exit_code == 0
    assert "1,200 vectors to delete" in done.output
    assert [each.dry_run for each in line.requests] == [True]


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ({"drops_namespace": True}, "Nothing else is in the namespace: it is dropped whole."),
        ({"why_not_dropped": "3 vectors of other questions are in it"}, "not dropped: 3 vectors of other questions"),
    ],
)
def test_whether_the_namespace_goes_is_said_before(run, line, price, said):
    line.answers["Remove"] = lambda _: job_pb2.RemoveResponse(forecast=job_pb2.JobForecast(removed=9, **price))
    assert said in run("remove", "--question-id", "232", "--dry-run").output


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"namespace_dropped": True}, "the namespace was dropped whole"),
        ({"namespace_dropped": False, "why_not_dropped": "other loads write to it"}, "by their ids: other loads write"),
    ],
)
def test_how_they_went_is_said_afterwards(run, line, result, said):
    line.answers["GetTask"] = fake_line.task("completed", result=task_pb2.TaskResult(removed=9, **result))
    assert said in run("status", fake_line.TASK_ID).output


def test_nobody_there_to_agree_is_a_mistake_of_usage(run, line):
    assert run("remove", "--question-id", "232").exit_code == 2
    assert [each.dry_run for each in line.requests] == [True]


def test_it_is_stored_with_what_was_asked(run, line):
    assert run("remove", "--namespace", "v3", "--question-id", "232", "--yes").exit_code == 0
    assert run("remove", "--task", fake_line.TASK_ID, "--yes").exit_code == 0
    _, question, _, load = line.requests
    assert (question.namespace, question.question_id, question.task_id, question.dry_run) == ("v3", 232, "", False)
    assert (load.task_id, load.HasField("question_id"), load.dry_run) == (fake_line.TASK_ID, False, False)


@pytest.mark.parametrize("words", [[], ["--task", "x", "--question-id", "1"], ["--task", "x", "--namespace", "v2"]])
def test_a_question_or_a_load_and_not_both(run, line, words):
    assert run("remove", *words, "--yes").exit_code == 2
    assert not line.requests
