"""Polluted files through the real command line on both engines: the published totals and every file's quarantine."""

from pathlib import Path

import polars as pl
import pytest

from tests.end_to_end.program import environment, read_result, run
from tests.pollution.build import MAX_RECORD
from tests.pollution.positions import CHUNK_BYTES, SPLIT_BYTES, polluted_files

EVERY = 6
"""Each sixth of the files; tests/pollution reads them all."""


def region_of(address: str) -> str:
    """By construction: the files' addresses are private, or none at all."""
    return "PRIVATE" if address.startswith("10.") else "INVALID"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The files, each under its own serial and kind; and the truth about them by name."""
    root = tmp_path_factory.mktemp("polluted")
    truth = {}
    for kind, files in polluted_files().items():
        for file in files[::EVERY]:
            name = f"{file.serial.strip('~')}-{kind}.csv"
            (root / name).write_bytes(file.data)
            truth[str(root / name)] = file
    return root, truth


@pytest.mark.parametrize("engine", ["polars", "spark"])
def test_a_run_over_polluted_files(engine: str, folder: tuple[Path, dict], tmp_path: Path) -> None:
    root, truth = folder
    sizes = environment(MAX_RECORD_BYTES=MAX_RECORD, CHUNK_BYTES=CHUNK_BYTES, SPLIT_BYTES=SPLIT_BYTES, BUCKETS=1)
    ended = run("--engine", engine, "--json", "--input", root, cwd=tmp_path, env=sizes)
    assert ended.code == 6, ended.err
    answer = ended.answer
    assert answer["engine"] == engine
    assert {entry["file"] for entry in answer["refused_files"]} == {path for path, f in truth.items() if f.refused}
    counted = {path: file for path, file in truth.items() if not file.refused}
    totals: dict[tuple[str, str], tuple[float, int]] = {}
    for file in counted.values():
        totals |= {key: (micro / 1e6, events) for key, (micro, events) in file.totals(region_of).items()}
    output = tmp_path / "pipeline_data" / "output"
    assert {(region, user): (time, events) for region, user, time, events in read_result(output)} == totals
    kept = sum(events for _, events in totals.values())
    contents = sum(len(c) for file in counted.values() for c in file.contents(region_of).values())
    events = sum(len(file.events) for file in counted.values())
    assert (answer["records_read"], answer["kept"], answer["duplicates"], answer["conflicts"]) == (
        sum(file.records for file in counted.values()),
        kept,
        events - contents,
        contents - kept,
    )
    quarantine = (output.resolve().parent / "quarantine" / "rejected.parquet").resolve()
    found = pl.read_parquet(quarantine).select("file", "line", "byte_offset", "reason", "raw").rows()
    assert sorted(found) == sorted((path, *reject) for path, file in counted.items() for reject in file.rejects)
