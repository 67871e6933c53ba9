"""``vectorline verify``: its price first, then it is asked for, then what was found."""

import json

from vectorline.v1 import bill_pb2, job_pb2

from tests.unit.cli import fake_line

PRICE = job_pb2.JobForecast(ids=1_200, fetched=1_000, sampled=50, bill=bill_pb2.Bill(tokens=640, read_units=117))
STORED = job_pb2.VerifyResponse(task_id=fake_line.TASK_ID, status="pending", message="Stored.")


def answers(request):
    return job_pb2.VerifyResponse(forecast=PRICE) if request.dry_run else STORED


def test_the_price_is_said_and_nothing_done(run, line):
    line.answers["Verify"] = answers
    done = run("verify", "--question-id", "232", "--sample", "50", "--dry-run")
    assert done.exit_code == 0
    assert "1,200 ids to list, 1,000 records to fetch, 50 vectors bought again" in done.output
    assert [each.dry_run for each in line.requests] == [True]


def test_nobody_there_to_agree_is_a_mistake_of_usage(run, line):
    line.answers["Verify"] = answers
    done = run("verify", "--question-id", "232")
    assert done.exit_code == 2
    assert [each.dry_run for each in line.requests] == [True]


def test_it_is_stored_with_what_was_asked(run, line):
    line.answers["Verify"] = answers
    done = run("verify", "--question-id", "232", "--namespace", "v3", "--sample", "50", "--repair", "--yes")
    assert done.exit_code == 0
    asked = line.requests[-1]
    assert (asked.question_id, asked.namespace, asked.sample, asked.repair) == (232, "v3", 50, True)
    assert asked.request_id


def test_what_was_found_is_shown_and_is_not_well(run, line):
    found = fake_line.task("completed")
    found.metadata.task_type = "verify"
    found.progress.failed_records = 3
    for name, count in (("listed", 8), ("missing", 2), ("strange", 0), ("differing", 1), ("fetched", 8)):
        setattr(found.result, name, count)
    line.answers["GetTask"] = found
    shown = run("status", fake_line.TASK_ID)
    assert "8 ids, 2 missing, 0 strange, 1 differing (8 fetched, 0 bought again)" in shown.output
    told = json.loads(run("status", fake_line.TASK_ID, "--json").output)
    assert told["result"]["missing"] == 2


def test_an_adoption_is_priced_and_stored_and_what_came_of_it_shown(run, line):
    line.answers["Adopt"] = lambda asked: (
        job_pb2.AdoptResponse(forecast=PRICE)
        if asked.dry_run
        else job_pb2.AdoptResponse(task_id=fake_line.TASK_ID, status="pending")
    )
    done = run("adopt", "--namespace", "v2", "--question-id", "232", "--sample", "50", "--yes")
    assert done.exit_code == 0
    priced, asked = line.requests
    assert (priced.dry_run, asked.dry_run) == (True, False)
    assert (asked.namespace, asked.question_id, asked.sample) == ("v2", 232, 50)

    found = fake_line.task("completed")
    for name, count in (("listed", 8), ("known", 7), ("unknown", 1), ("sampled", 5)):
        setattr(found.result, name, count)
    line.answers["GetTask"] = found
    shown = run("status", fake_line.TASK_ID)
    assert "8 ids, 7 known now, 1 bought with the next load (5 proved)" in shown.output
