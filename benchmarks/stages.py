"""Stages of the line by themselves, in this process and on one core."""

import pathlib
import tempfile
import time

from services.ingest.contract import context
from services.ingest.planning import scan
from services.ingest.request import options
from services.ingest.sources import local
from services.ingest.splitting import split


def scan_and_split(path: pathlib.Path) -> tuple[float, float]:
    """CPU seconds of a scan of the file, and CPU ms of the split per 1,000 rows."""
    source = local.LocalSource(path.parent, path.name)
    chosen = options.Options(data_source="local_csv", question_id=1, s3_key=path.name)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        done = scan.scan(source, source.pin(), chosen, pathlib.Path(folder))
        seconds = time.process_time() - began
        sidecar = done.duplicates.read_bytes()
    task = context.Context("bench", chosen, "local_csv", path.name, "2026-01-01T00:00:00Z")
    began = time.process_time()
    rows = 0
    for chunk in split.split(source, done.pinned, done.plan, task, lambda start, count: sidecar[start : start + count]):
        rows += chunk.rows
    return seconds, (time.process_time() - began) * 1e6 / rows
