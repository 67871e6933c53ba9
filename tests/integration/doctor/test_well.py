"""Where everything is well the doctor says so of each thing, and leaves next to nothing behind."""

import json
import os
import subprocess
import sys

from services.doctor import checks
from tests.integration.doctor import conftest


async def test_everything_is_well(around: conftest.Surroundings) -> None:
    report = await around.look()

    assert report.wrong == set()
    assert {each.check for each in report.found} == set(checks.NAMES)
    assert "1536 values" in report.of("openai", "answer").message
    assert "over gRPC" in report.of("pinecone", "write").message


async def test_a_look_leaves_one_item_and_two_objects_behind(around: conftest.Surroundings) -> None:
    for _ in range(2):
        await around.look()

    items = around.tables.scan(TableName=os.environ["DYNAMODB_TABLE_NAME"])["Items"]
    left = around.objects.list_objects_v2(Bucket=os.environ["S3_BUCKET_NAME"]).get("Contents", [])
    assert {each["task_id"]["S"] for each in items} - {"index#client_listing"} == {"doctor"}
    assert [each["Key"] for each in left] == ["plans/doctor", "rejects/doctor"]
    assert around.pinecone.dump(os.environ["PINECONE_INDEX_NAME"], "vectorline-doctor") == []


async def test_a_service_is_looked_at_by_what_it_needs(around: conftest.Surroundings) -> None:
    """In its own container the embedder knows neither Pinecone nor AWS."""
    for name in ("PINECONE_API_KEY", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        around.patch.delenv(name)

    report = await around.look(services=("embedder",))

    assert {each.check for each in report.found} == {"valkey", "openai", "peers", "clocks", "certificates", "keys"}
    assert report.wrong == set()


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", "doctor", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


async def test_the_command_tells_programs_and_people_and_by_its_exit_code(around: conftest.Surroundings) -> None:
    good = run("--only", "keys", "--only", "certificates", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert {json.loads(line)["check"] for line in good.stdout.splitlines()} == {"keys", "certificates"}

    around.set(API_KEYS=f"{conftest.CALLER} is no list", API_KEY_PEPPER="sixteen characters")
    bad = run("--only", "keys")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "broken   keys" in bad.stdout
    assert "→ " in bad.stdout
    assert conftest.CALLER not in bad.stdout
    assert bad.stdout.endswith("1 broken, 0 warning, 0 ok\n")
