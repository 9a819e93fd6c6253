"""The simulation of very many splits runs the driver's own code, and its counts are those of what it made up."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import scale
from pipeline.exchange.row_groups import count_kept
from pipeline.planning.cluster_prediction import FOOTER_REQUESTS, count_footers


def test_the_driver_counts_what_executors_made_up(tmp_path: Path) -> None:
    found = scale.simulate(300, tmp_path)
    files = -(-300 * scale.SPLIT_BYTES // scale.FILE_BYTES)
    assert found["bytes"] == files * scale.FILE_BYTES
    assert 0 <= files * scale.FILE_BYTES // scale.ROW_BYTES - found["rows"] <= found["splits"] + files
    assert found["splits"] >= 300
    assert found["buckets"] == 1024
    assert found["sent_bytes"] / found["splits"] < 10_000, "no task names all splits"
    assert [step["name"] for step in found["steps"]][-3:] == ["counts", "Phase 2", "publication"]
    assert "| 1,000 | 10 GB |" in scale.table([found | {"splits": 1000, "bytes": 10**10}])


def test_the_table_is_printed() -> None:
    command = [sys.executable, "-m", "benchmarks.scale", "--splits", "10"]
    ended = subprocess.run(command, capture_output=True, check=True, text=True, cwd=Path(scale.__file__).parents[1])
    assert len(ended.stdout.splitlines()) == 3
    assert [json.loads(line)["bytes"] for line in ended.stderr.splitlines()] == [10**10]


def test_the_page_has_the_predictions_that_are_made() -> None:
    page = (Path(scale.__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    assert scale.model_table() in page
    assert f"some {count_kept(1024) // 100 * 100:,} splits" in page
    for terabytes, nodes in scale.MODEL:
        assert scale.predict_terabytes(terabytes, nodes).splits == 10_000 * terabytes, (
            "as the table of what was measured"
        )
    second = scale.predict_terabytes(1, 50)
    assert round(1000 * second.seconds / 3600) == 25
    assert round(second.request_dollars) == 12
    ten = scale.predict_terabytes(10, 50)
    assert 2 * FOOTER_REQUESTS * count_footers(ten.splits, 1024, ten.cores) > ten.reads
