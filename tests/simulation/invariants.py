"""What must hold at the end of every seed."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from vectorline.v1 import warning_pb2

from services.billing import spend
from services.embedder.limiter import promise
from services.indexer.ledger import items
from services.indexer.ledger import records as task_records
from services.indexer.storage import table
from services.ingest.contract import metadata
from services.ingest.manifest import comparison, header, records, store
from services.ingest.splitting import split
from tests.simulation import files, providers, verdicts

if TYPE_CHECKING:
    from tests.simulation.world import World

# Requests were granted at most so long before they start: the age at which a grant is dropped, and its way back.
LATE_SECONDS = promise.STALE_GRANT_SECONDS


def unfinished(world: "World") -> list[str]:
    """What is still to come; empty when the line is at rest."""
    queue = world.shared.queue
    found = [
        f"{file.name} is {world.status(file)!r}" for file in world.files if world.status(file) not in items.TERMINAL
    ]
    found += [f"lane {name} holds {list(lane.entries)}" for name, lane in queue.lanes.items() if lane.entries]
    found += [f"lane {name} has pending {lane.pending}" for name, lane in queue.lanes.items() if lane.pending]
    found += [f"in flight of {task}: {list(chunks)}" for task, chunks in queue._inflight.items() if chunks]
    found += [
        f"strikes or defects are left of {struck}, which is over"
        for struck in queue.struck.standing()
        if world.shared.table.items[struck[0]]["status"] in items.TERMINAL
    ]
    if any(ingest.merges for ingest in world.running["ingest"]):  # an older release alone merges nothing
        found += [f"{key} has a run that is not merged" for key, item in _manifests(world) if "pending_task" in item]
    found += verdicts.unfinished(world)
    for file in world.files:
        if len(file.heard) < file.watchers or any(heard != world.status(file) for heard in file.heard):
            found.append(f"{file.watchers} watch {file.name}, which is {world.status(file)!r}, and heard {file.heard}")
    for embedder in world.running["embedder"]:
        if held := embedder.consumer.held:
            found.append(f"{embedder.process.name} holds {held}")
        if embedder.loose._untold:
            found.append(f"{embedder.process.name} has not told what it paid: {embedder.loose._untold}")
    for indexer in world.running["indexer"]:
        if indexer.book.spending._unwritten:
            found.append(f"{indexer.process.name} has not written what was paid: {indexer.book.spending._unwritten}")
    return found


def violated(world: "World") -> list[str]:
    """Every invariant that does not hold."""
    return [
        *(words for file in world.files for words in _submitted(world, file)),
        *(words for file in world.files for words in _accounted(world, file)),
        *_index(world),
        *_known(world),
        *_bought(world),
        *_billed(world),
        *_limited(world),
        *verdicts.violated(world),
    ]


def tasks_of(world: "World", file: files.File) -> list[str]:
    """The tasks that were stored over a file, as somebody submitted it."""
    if file.repairs is not None:
        return [file.task_id]
    stored = [item for item in world.shared.table.items.values() if items.is_task(item)]
    asked = [(item[table.KEY], task_records.request(item)) for item in stored]
    return [str(key) for key, each in asked if each.s3_key == file.name and not each.request_id.startswith("repair:")]


def _submitted(world: "World", file: files.File) -> Iterator[str]:
    made = tasks_of(world, file)
    if file.repairs is None and len(made) > (1 if file.key else file.submissions):
        yield f"{file.name} was submitted {file.submissions} times and is {made}"


def _accounted(world: "World", file: files.File) -> Iterator[str]:
    stored = world.shared.table.items
    task = stored.get(file.task_id)
    if task is None:
        yield f"{file.name} was lost"
        return
    status = task["status"]
    shards = [item for item in stored.values() if item.get("kind") == "shard" and item["task"] == file.task_id]
    outcomes = {int(chunk): outcome for shard in shards for chunk, outcome in shard["c"].items()}
    deletes = {chunk: outcomes.pop(chunk) for chunk in list(outcomes) if chunk >= file.chunks}
    if any(outcome[name] for outcome in deletes.values() for name in "isf") or (deletes and "removal" not in task):
        yield f"{file.name}: a chunk that deletes has rows, or none was begun: {deletes}"
    sums = {name: sum(outcome[name[0]] for outcome in outcomes.values()) for name in ("indexed", "skipped", "failed")}
    for shard in shards:
        counted = {name: sum(each[name[0]] for each in shard["c"].values()) for name in sums}
        if len(shard["c"]) != shard["settled"] or any(shard[name] != counted[name] for name in sums):
            yield f"{shard[table.KEY]}: counters differ from a recount: {shard}"
    for chunk, outcome in outcomes.items():
        if outcome.get("reason") == "poison" and chunk not in file.poison:
            yield f"{file.name}: chunk {chunk} failed as poison without any"
        if outcome["i"] + outcome["s"] + outcome["f"] != len(file.rows[chunk * file.chunk_size :][: file.chunk_size]):
            yield f"{file.name}: chunk {chunk} has {outcome}"
    if status == items.Status.CANCELLED:
        if file.cancelled_after is None:
            yield f"{file.name} was cancelled by nobody"
        return
    if file.repairs is not None and task.get("error_reason") == "SUPERSEDED":
        return  # somebody wrote since the load that it repeats, and bought what it was to buy
    if status != file.expected_status():
        yield f"{file.name} is {status}, not {file.expected_status()}: {task}"
    expected = dict(zip(("indexed", "skipped", "failed"), file.counts(), strict=True))
    same = sum(outcome.get("u", 0) for outcome in outcomes.values())
    if file.mode == "force" and same:
        yield f"{file.name} was forced, and {same} rows were skipped"
    if task.get("unchanged", 0) != same:
        yield f"{file.name}: {same} rows were unchanged, and the task counts otherwise: {task}"
    if deletes:
        yield from _overtaken(world, file, outcomes, deletes)
    unsent = sum(row.outcome == "empty_text" for row in file.rows)
    if deletes and sums["failed"] > unsent:
        yield f"{file.name}: {sums['failed'] - unsent} sent rows failed, and it removes: {deletes}"
    if task.get("removed", 0) != sum(outcome.get("d", 0) for outcome in deletes.values()):
        yield f"{file.name}: removed are {deletes}, and the task counts otherwise: {task}"
    expected["indexed"] -= same
    expected["skipped"] += same
    if sums != expected:
        yield f"{file.name}: {sums} where {expected} were expected"
    if any(task[name] != expected[name] for name in expected) or task["rows_total"] != len(file.rows):
        yield f"{file.name}: the task counts otherwise: {task}"
    if sorted(outcomes) != list(range(file.chunks)):
        yield f"{file.name}: chunks settled: {sorted(outcomes)} of {file.chunks}"


def skipped_wrongly(world: "World", file: files.File, task_id: str, chunk: int) -> Iterator[str]:
    """Rows of a chunk, at the moment of its settlement, that are skipped as unchanged and are not in the index so."""
    task = world.shared.table.items[task_id]
    outcome = world.shared.table.items[items.shard_key(task_id, items.shard_of(chunk))]["c"][str(chunk)]
    kept = task.get("comparison")
    if kept is None or outcome.get("n", 0) < kept["fence"]:
        return  # it was sent in an earlier turn
    turn = world.shared.table.items[items.turn_key("idx", files.NAMESPACE, file.question_id)]
    if outcome["i"] + outcome["f"] and (turn["holder"], turn["fence"]) != (task_id, task["fence"]):
        return  # what was sent is settled, whoever has the turn by now and has written since
    made = comparison.Comparison.from_bytes(world.shared.bucket.objects[kept["uri"]], kept["checksum"])
    first = chunk * file.chunk_size
    rows = file.rows[first : first + file.chunk_size]
    for row, same in zip(rows, made.unchanged(first + 1, first + 1 + len(rows)), strict=True):
        found = world.shared.pinecone.vectors.get((files.NAMESPACE, row.vector_id))
        excused = world.touched.get(row.vector_id, -math.inf) > verdicts.seen_at(world, row.vector_id)
        excused = excused or row.vector_id in world.shared.pinecone.late
        if same == split.UNCHANGED and found != providers.vector_of(row.text) and not excused:
            text = world.shared.openai.text_of.get(found or b"")
            yield f"{file.name} skips {row.text!r}, and {row.vector_id} holds {text!r}"


def _overtaken(
    world: "World", file: files.File, outcomes: dict[int, dict[str, Any]], deletes: dict[int, dict[str, Any]]
) -> Iterator[str]:
    """What a mirror's rows were compared with is what is there: nobody wrote between its first row and its deletes."""
    first = min((outcome["n"] for outcome in outcomes.values() if outcome.get("n")), default=0)
    last = max((outcome["n"] for outcome in deletes.values() if outcome.get("d")), default=0)
    others = {each.task_id for each in world.files if each.question_id == file.question_id} - {file.task_id}
    for (task_id, _), fence in world.shared.table.settled_under.items():
        if task_id in others and first and first < fence < last:
            yield f"{file.name} was compared under {first}, removes under {last}, and another had the turn: {fence}"
            return


def _index(world: "World") -> Iterator[str]:
    """The ids are those of the files; of two files on one question, the values of whoever settled in the later turn."""
    vectors = {vector_id: values for (_, vector_id), values in world.shared.pinecone.vectors.items()}
    stored = world.shared.table.items
    known = world.shared.openai.text_of
    written: dict[str, list[tuple[int, bytes]]] = {}
    settled_under = world.shared.table.settled_under
    for file in world.files:
        last = stored[file.task_id].get("fence", 0)
        for position, row in enumerate(file.rows):
            fence = settled_under.get((file.task_id, file.chunk_of(position)))
            if row.outcome != "indexed":
                continue
            values = providers.vector_of(row.text)
            if fence is not None:
                written.setdefault(row.vector_id, []).append((fence, values))
            elif stored[file.task_id]["status"] == items.Status.CANCELLED:
                written.setdefault(row.vector_id, []).append((-last, values))  # perhaps it was
    mirrors = [file for file in world.files if file.mode == "mirror"]
    removing = [verdicts.Removing(file.clears, *_removed(world, file)) for file in mirrors]
    removing += verdicts.removing(world)
    for vector_id, writers in written.items():
        if _foreign(world, vector_id) or vector_id in world.shared.pinecone.late:
            vectors.pop(vector_id, None)
            continue
        fence, values = max(writers)
        found = vectors.pop(vector_id, None)
        clearing = [each for each in removing if each.clears(vector_id)]
        last = max((each.fence for each in clearing), default=0)
        if last > max(abs(under) for under, _ in writers):
            if found is not None:
                yield f"{vector_id} holds {known.get(found)!r}, and what removes it came later"
            continue
        if found is None and (any(each.partly for each in clearing) or 0 < fence < last):
            continue  # a removal that was broken off, or one that came before a task of which nothing is known
        perhaps = [each for under, each in writers if under <= 0 and -under > fence] + [values] * (fence > 0)
        perhaps += [None] * (fence <= 0) + [each for under, each in writers if fence <= 0]
        if found not in perhaps:
            yield f"{vector_id} holds {known.get(found or b'')!r}, not {known.get(values)!r}"
    for vector_id, values in vectors.items():
        # Of a poison chunk some rows may have been written before it killed anybody.
        rows = [row for file in world.files for row in file.rows if row.outcome in ("indexed", "poison")]
        if vector_id in world.touched or vector_id in world.shared.pinecone.late:
            continue
        if not any(row.vector_id == vector_id and providers.vector_of(row.text) == values for row in rows):
            yield f"{vector_id} is in the index with {known.get(values)!r}, which no file put there"


def _removed(world: "World", file: files.File) -> tuple[int, bool]:
    """Under which fence a mirror removed all that left its file (0: it did not), and whether it did some of it.

    One that is overtaken removes nothing in a later turn; nor does it warn if it had nothing to remove in its own.
    """
    task = world.shared.table.items[file.task_id]
    told = {warning_pb2.Warning.FromString(each).code for each in task.get("warnings", ())}
    spoken = told & {"mirror_overtaken", "mirror_uncertain", "mirror_rows_failed"}
    if task["status"] == items.Status.CANCELLED or spoken or task.get("overtaken"):
        return 0, "removal" in task
    return task["fence"], False


def _foreign(world: "World", vector_id: str) -> bool:
    """Whether somebody else changed a record after every task that holds it was asked for."""
    touched = world.touched.get(vector_id)
    if touched is None:
        return False
    stored = world.shared.table.items
    holding = [
        file
        for file in world.files
        if any(row.vector_id == vector_id and row.outcome == "indexed" for row in file.rows)
    ]
    if not holding:
        return True
    last = max(holding, key=lambda file: stored[file.task_id].get("fence", 0))
    if vector_id in world.vague and not (last.repairs is not None and verdicts.finds_all(last.repairs, vague=True)):
        return True  # only who looks at vectors finds it
    return last.submitted_at < touched or stored[last.task_id]["status"] == items.Status.CANCELLED


def _manifests(world: "World") -> list[tuple[str, table.Item]]:
    return [(key, item) for key, item in world.shared.table.items.items() if item.get("kind") == "manifest"]


def _known(world: "World") -> Iterator[str]:
    """What a manifest says to be in the index is there, just so; the namespace's sums are those of its manifests."""
    client = world.shared.bucket.client(world.loop.fate)
    objects = store.Store(client, "")
    pinecone = world.shared.pinecone
    text_of = world.shared.openai.text_of | pinecone.foreign
    sums = {"known": 0, "pending": 0}
    for key, item in _manifests(world):
        sums["known"] += item["known"]
        sums["pending"] += "pending_task" in item
        turn = world.shared.table.items[items.turn_key("idx", item["namespace"], int(item["question"]))]
        if "uri" not in item or item.get("opened_fence") != turn["fence"]:
            continue  # an older release has the turn: whoever has it next makes the manifest void
        hashes = records.Hashes(item["key"])
        held = {hashes.id(name.encode()): (name, values) for (_, name), values in pinecone.vectors.items()}
        known, told = 0, set[bytes]()
        for block in header.Header.from_json(objects.get(item["uri"]), item["checksum"]).entries(objects):
            standing = records.standing(block.entries)
            known += int((standing == records.KNOWN).sum())
            told |= {entry.tobytes()[:16] for entry in block.entries[standing != records.ABSENT]}
            for entry in block.entries[standing == records.KNOWN]:
                name, values = held.get(entry.tobytes()[:16], ("", b""))
                text = text_of.get(values)
                if _excused(world, name):
                    continue
                if text is None or hashes.text(text.encode()) != entry.tobytes()[16:32]:
                    yield f"{key} knows {name or 'an id that is not there'} otherwise than as {text!r}"
                elif hashes.metadata(_lasting(world, name)) != entry.tobytes()[32:]:
                    yield f"{key} knows {name} otherwise than with {pinecone.metadata[files.NAMESPACE, name]}"
        strange = [held[hashed][0] for hashed in held.keys() - told]
        others = world.touched.keys() | pinecone.late.keys()
        mine = [name for name in strange if name.startswith(f"{item['question']}.") and name not in others]
        if mine and key not in world.shared.table.voided:
            yield f"{key} knows nothing of {mine[:3]}, which are there"
        if known != item["known"]:
            yield f"{key} says that it knows {item['known']} rows, and knows {known}"
    namespace = world.shared.table.items.get(items.namespace_key("idx", files.NAMESPACE), {})
    if any(namespace.get(name, 0) != total for name, total in sums.items()):
        yield f"the namespace's sums are {namespace}, not {sums}"


def _excused(world: "World", vector_id: str) -> bool:
    """Whether nobody could know what became of a record (empty: of one that is not there).

    Somebody else changed it, and nobody looked since; or whoever wrote it late died before the ledger heard of it.
    """
    late, touched = world.shared.pinecone.late, world.touched
    if not vector_id:
        return bool(touched) or not all(process.alive for process in late.values())
    if vector_id in late and not late[vector_id].alive:
        return True
    known_since = verdicts.seen_at(world, vector_id)
    return vector_id in touched and known_since < touched[vector_id] and _foreign(world, vector_id)


def _lasting(world: "World", vector_id: str) -> bytes:
    """What a manifest hashes of a record's metadata."""
    told = json_format.MessageToDict(world.shared.pinecone.metadata[files.NAMESPACE, vector_id])
    return metadata.lasting_of(told) or b""


def _bought(world: "World") -> Iterator[str]:
    """A text is bought twice only where two files have it, or something was done to whoever had it in hand."""
    openai = world.shared.openai
    allowed: Counter[str] = Counter()
    poison = {row.text for file in world.files for row in file.rows if row.outcome == "poison"}
    for file in world.files:
        for position, row in enumerate(file.rows):
            allowed[row.text] += 1 + world.excused[file.task_id, file.chunk_of(position)]
    for job in world.jobs:
        if job.buys:
            again = 1 + max((world.excused[at] for at in world.excused if at[0] == job.task_id), default=0)
            texts = {row.text for file in world.files if file.question_id == job.question_id for row in file.rows}
            allowed.update(dict.fromkeys(texts, again))
    for text in allowed:
        excused = allowed[text] + world.excused_texts[text]
        if text not in poison and openai.bought[text] > excused:
            yield f"{text!r} was bought {openai.bought[text]} times, {excused} were excused"


def _billed(world: "World") -> Iterator[str]:
    """No bill says for sure what was not paid; and where nobody died, what was bought is within what it may come to."""
    stored = world.shared.table.items
    tasks = {key: item for key, item in stored.items() if items.is_task(item)}
    shards = (item for item in stored.values() if item.get("kind") == "shard")
    left = (shard for shard in shards if str(shard["shard"]) not in tasks[shard["task"]]["s"])
    billed = sum(map(spend.of_stored, (*tasks.values(), *left)), spend.NOTHING)
    paid, written = world.shared.openai.tokens, world.shared.pinecone.write_units
    if billed.tokens > paid:
        yield f"{billed.tokens} tokens are billed for sure, {paid} were paid"
    # Of a record that somebody else deleted nobody knows that its delete was cheap.
    if billed.write_units > written and not world.touched:
        yield f"{billed.write_units} write units are billed for sure, {written} were paid"
    if not world.died and billed.tokens + billed.tokens_doubtful < paid:
        yield f"{paid} tokens were paid, and nobody died: {billed}"


def _limited(world: "World") -> Iterator[str]:
    quota = world.shared.limiter.quota
    rate, credit = quota.requests_per_second, promise.LATE_CREDIT_SECONDS
    grants = [at for at, _ in world.shared.limiter.grants]
    starts = [at for at, _ in world.shared.openai.starts]
    if len(starts) > len(grants):
        yield f"{len(starts)} requests started on {len(grants)} grants"
    if rate:
        for first, since in enumerate(grants):
            for last in range(first, len(grants)):
                window = grants[last] - since
                if last - first + 1 > rate * (window + credit) + 1 + 1e-6:
                    yield f"{last - first + 1} grants within {window:.3f} s at {rate}/s"
                    return
    for since, until in world.shared.limiter.pauses:
        if any(since < at < until for at in grants):
            yield f"a grant within the pause of {until - since:.1f} s"
            return
