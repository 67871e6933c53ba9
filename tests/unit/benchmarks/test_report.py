"""The benchmark's report: bars are judged, tables are kept between their marks, the plot holds every size."""

import json
import pathlib
import xml.etree.ElementTree as ElementTree

from benchmarks import figures, metrics, plot, report
from benchmarks.figures import Figure, Run, Size, Stage

TEXT = f"# Title\n\nbefore\n\n{report.BEGIN}\n{report.END}\n\nafter\n"


def test_a_bar_is_met_from_its_own_side() -> None:
    assert Figure("cpu", 199, "ms", 200).good
    assert not Figure("cpu", 201, "ms", 200).good
    assert Figure("speed", 4_700, "rows/s", 4_700, more=True).good
    assert not Figure("speed", 4_699, "rows/s", 4_700, more=True).good
    assert Figure("told", 1e9, "ms", None).good


def test_a_median_tells_all_its_runs() -> None:
    figure = figures.median("speed", [3.0, 1.0, 2.0], "x", 2, detail={"more": 1})
    assert (figure.value, figure.detail) == (2.0, {"runs": [3.0, 1.0, 2.0], "more": 1})


def test_a_later_run_replaces_its_own_rows_and_leaves_the_others(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(TEXT)
    stages = [Stage("ingest", "read", 4.0, 5.0), Stage("ingest", "the rest", 6.0, None)]
    report.keep(
        file,
        [Figure("cpu", 113, "ms", 200, 110), Figure("speed", 1, "x", 2, more=True)],
        Run(tmp_path, stages=stages),
        whole=True,
    )
    report.keep(file, [Figure("speed", 3, "x", 2, more=True)], Run(tmp_path), whole=False)
    kept = file.read_text()
    assert kept.startswith("# Title\n\nbefore\n\n")
    assert kept.endswith("\n\nafter\n")
    assert "| cpu | ≤ 200 ms | 110 ms | 113 ms |\n| speed | ≥ 2 x |  | 3.00 x |\n" in kept
    assert "| ingest | read | 4.00 | 5.00 |\n| ingest | the rest | 6.00 |  |\n" in kept
    assert "missed" not in kept


def test_the_document_of_the_repository_has_the_marks() -> None:
    text = (pathlib.Path(__file__).parents[3] / "docs" / "performance.md").read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1


def test_the_json_holds_everything(tmp_path: pathlib.Path) -> None:
    size = Size(10_000, 113.0, 8_000.0, {"ingest-1": 100})
    run = Run(tmp_path, stages=[Stage("ingest", "read", 4.0, 5.0)], growth=[size])
    told = json.loads(json.dumps(report.as_json([Figure("cpu", 113, "ms", 200)], run, 60.0)))
    assert told["figures"][0]["good"]
    assert told["stages"] == [{"process": "ingest", "name": "read", "cpu_ms": 4.0, "wall_ms": 5.0}]
    assert told["growth"][0]["rows"] == 10_000


def test_the_plot_is_an_image_with_a_point_for_every_size() -> None:
    sizes = [Size(rows, 100.0 + rows / 1e5, 8_000.0, {}) for rows in (10_000, 100_000, 1_000_000)]
    root = ElementTree.fromstring(plot.draw(sizes))
    assert len(root.findall("{*}circle")) == 6
    assert {each.text for each in root.findall("{*}text")} >= {"10 k", "100 k", "1 M"}


def test_what_no_stage_took_is_the_rest_of_its_service() -> None:
    def sample(stage: str, seconds: float, cpu: float) -> dict[tuple[str, str], float]:
        return {
            ("vectorline_stage_seconds_total", stage): seconds,
            ("vectorline_stage_cpu_seconds_total", stage): cpu,
            ("vectorline_chunks_total", "settled"): 9.0,
        }

    before = {"embedder-1": sample("embed", 10.0, 1.0)}
    after = {"embedder-1": sample("embed", 12.0, 1.5), "embedder-2": sample("embed", 1.0, 0.5)}
    found = metrics.stages(before, after, {"embedder-1": 2.0, "embedder-2": 1.0, "valkey": 7.0}, 1_000)
    assert found == [
        Stage("embedder", "embed", 1_000.0, 3_000.0),
        Stage("embedder", "the rest", 2_000.0, None),
    ]
