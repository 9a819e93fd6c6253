"""The Delta table beside the link: one commit a version, over the very files of the versions, whatever stops a run."""

import importlib.util
import json
import os
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.publish.region_files import SCHEMA, partition_folder
from pipeline.versions import delta_table, output_link
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import roll_back
from tests.names_of_regions import OF_ANOTHER_TYPE, TEXTS
from tests.result_readers import COLUMNS, DELTA_READERS

NAMES = [f"2026110{day}T000000Z-00000{day}" for day in range(1, 6)]


def rows_of(version: str, regions: list[str]) -> tuple[tuple[str, str, float, int], ...]:
    number = NAMES.index(version) + 1
    return tuple(sorted(((region, f"user {number}", number / 4, number) for region in regions), key=str))


def publish(output: Output, version: str, regions: list[str], keep: int = 5) -> None:
    folder = output.begin(version)
    for region in regions:
        rows = [row[1:] for row in rows_of(version, [region])]
        place = folder / "data" / partition_folder(region)
        place.mkdir()
        table = pa.Table.from_arrays([*map(pa.array, zip(*rows, strict=True))], schema=SCHEMA)
        pq.write_table(table, place / f"part-0000-{version}.parquet")
    output.publish(folder, version, keep)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    output = Output(str(tmp_path / "out"), delta=True)
    output.check()
    return output


def table(output: Output, version: int | None = None) -> DeltaTable:
    return DeltaTable(str(output.link.with_name("out.delta")), version=version)


def shown(output: Output) -> list[str]:
    """The versions that the commits show, the first first."""
    return [commit["logmill.version"] for commit in reversed(table(output).history())]


def read(output: Output, version: int | None = None) -> dict[str, tuple[tuple, ...]]:
    folder = output.link.with_name("out.delta")
    return {name: reader(folder, version).rows for name, reader in DELTA_READERS.items()}


def test_each_version_is_one_commit_and_can_be_gone_back_to(output: Output) -> None:
    regions = [["Asia", "Europe"], ["Asia"], ["Asia", "Europe", "PRIVATE"]]
    for version, of in zip(NAMES, regions, strict=False):
        publish(output, version, of)
    assert shown(output) == NAMES[:3]
    assert table(output).version() == 2
    for number, (version, of) in enumerate(zip(NAMES, regions, strict=False)):
        assert read(output, number) == dict.fromkeys(DELTA_READERS, rows_of(version, of))
    assert read(output) == read(output, 2)
    protocol = table(output).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2), "every reader of Delta knows them"
    assert not protocol.reader_features


def test_no_byte_is_there_twice(output: Output) -> None:
    publish(output, NAMES[0], ["Asia", "a/b"])
    files = {path.stat().st_ino for path in (output.link.resolve()).rglob("*.parquet")}
    assert {Path(uri).stat().st_ino for uri in table(output).file_uris()} == files
    assert len(files) == 2


def test_a_version_without_rows(output: Output) -> None:
    publish(output, NAMES[0], ["Asia"])
    folder = output.begin(NAMES[1])
    (folder / "data" / "geo_region=UNKNOWN").mkdir()
    pq.write_table(SCHEMA.empty_table(), folder / "data" / "geo_region=UNKNOWN" / f"part-0000-{NAMES[1]}.parquet")
    output.publish(folder, NAMES[1], 5)
    assert read(output) == dict.fromkeys(DELTA_READERS, ())
    assert read(output, 0) == dict.fromkeys(DELTA_READERS, rows_of(NAMES[0], ["Asia"]))


@pytest.mark.parametrize("reader", DELTA_READERS)
def test_a_region_is_that_text_to_every_reader(reader: str, output: Output) -> None:
    # What hive readers take for a number is text here, but for Polars, which looks at folders.
    names = TEXTS if reader == "polars" else [*TEXTS, *(name for name in OF_ANOTHER_TYPE if name[:2] != "__")]
    publish(output, NAMES[0], names)
    found = DELTA_READERS[reader](output.link.with_name("out.delta"), None)
    assert (found.region_type, found.columns) == ("text", frozenset(COLUMNS))
    assert found.rows == rows_of(NAMES[0], names)


def test_statistics_are_those_of_the_files(output: Output) -> None:
    publish(output, NAMES[2], ["Asia"])
    (log,) = output.link.with_name("out.delta").glob("_delta_log/*.json")
    (added,) = (json.loads(line)["add"] for line in log.read_text().splitlines() if line.startswith('{"add"'))
    assert json.loads(added["stats"]) == {
        "numRecords": 1,
        "minValues": {"total_watch_time_min": 0.75, "event_count": 3},
        "maxValues": {"total_watch_time_min": 0.75, "event_count": 3},
        "nullCount": {"user_id": 0, "total_watch_time_min": 0, "event_count": 0},
    }
    found = pl.scan_delta(str(output.link.with_name("out.delta"))).filter(pl.col("event_count") == 3).collect()
    assert found.height == 1


def test_files_go_with_their_version_and_an_old_reader_is_told(output: Output) -> None:
    for version in NAMES[:3]:
        publish(output, version, ["Asia"], keep=2)
    folders = {path.name for path in output.link.with_name("out.delta").iterdir()}
    assert folders == {"_delta_log", *NAMES[1:3]}
    assert read(output, 1)["pyarrow"] == rows_of(NAMES[1], ["Asia"])
    for reader in DELTA_READERS.values():
        with pytest.raises((OSError, duckdb.Error), match=r"(?i)no such file|not found"):
            reader(output.link.with_name("out.delta"), 0)


def test_the_table_goes_back_with_the_link(output: Output) -> None:
    for version in NAMES[:2]:
        publish(output, version, ["Asia"])
    roll_back(str(output.link), None, delta=True)
    assert shown(output) == [*NAMES[:2], NAMES[0]]
    assert read(output)["polars"] == rows_of(NAMES[0], ["Asia"])
    publish(output, NAMES[2], ["Europe"], keep=2)
    assert read(output)["polars"] == rows_of(NAMES[2], ["Europe"])


def test_versions_from_before_the_table_are_gone_back_to(tmp_path: Path) -> None:
    plain = Output(str(tmp_path / "out"))
    plain.check()
    for version in NAMES[:2]:
        publish(plain, version, ["Asia"])
    output = Output(str(tmp_path / "out"), delta=True)
    output.check()
    output.update_table()
    assert shown(output) == [NAMES[1]]
    output.update_table()
    assert shown(output) == [NAMES[1]], "what the table shows is not committed again"
    roll_back(str(output.link), None, delta=True)
    assert shown(output) == [NAMES[1], NAMES[0]]


class Crash(Exception):
    """The process ends here."""


POINTS = ["publish.rename", "table.link", "publish.link", "publish.link.done", "table.commit", "table.commit.done",
          "publish.remove", "table.remove"]  # fmt: skip


@pytest.mark.parametrize("where", POINTS)
def test_a_crash_anywhere_leaves_one_version_and_the_next_run_goes_on(
    where: str, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in NAMES[:2]:
        publish(output, version, ["Asia"], keep=2)

    def crash(name: str) -> None:
        if name == where:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(output_link, "point", crash)
        patch.setattr(delta_table, "point", crash)
        with pytest.raises(Crash):
            publish(output, NAMES[2], ["Asia", "Europe"], keep=2)
    before, after = rows_of(NAMES[1], ["Asia"]), rows_of(NAMES[2], ["Asia", "Europe"])
    assert set(read(output).values()) in ({before}, {after})
    again = Output(str(output.link), delta=True)  # as at the beginning of the next run
    again.check()
    again.discard()
    current = again.current()
    if current != NAMES[2] and (again.versions / NAMES[2]).exists():
        again.remove(NAMES[2])
    again.update_table()
    assert shown(again)[-1] == current
    assert set(read(again).values()) == {after if current == NAMES[2] else before}
    publish(again, NAMES[3], ["PRIVATE"], keep=2)
    assert set(read(again).values()) == {rows_of(NAMES[3], ["PRIVATE"])}
    kept = {path.name for path in again.versions.iterdir()}
    assert {path.name for path in output.link.with_name("out.delta").iterdir()} == {"_delta_log", *kept}


@pytest.mark.parametrize("content", ["", '{"commitInfo":{"timest', "\0" * 40], ids=["empty", "cut", "zeros"])
def test_a_commit_that_a_crash_of_the_machine_cut_off_is_made_again(content: str, output: Output) -> None:
    for version in NAMES[:2]:
        publish(output, version, ["Asia"])
    log = output.link.with_name("out.delta") / "_delta_log"
    (log / "00000000000000000001.json").write_text(content)
    output.update_table()
    assert shown(output) == NAMES[:2]
    assert read(output)["duckdb"] == rows_of(NAMES[1], ["Asia"])


def test_what_another_program_committed_does_not_stay(output: Output) -> None:
    publish(output, NAMES[0], ["Asia"])
    table(output).update({"event_count": "7"})
    output.check()
    output.update_table()
    assert set(read(output).values()) == {rows_of(NAMES[0], ["Asia"])}
    assert table(output).history(1)[0]["logmill.version"] == NAMES[0]


def test_vacuum_takes_nothing_that_the_newest_version_needs(output: Output) -> None:
    for version in NAMES[:2]:
        publish(output, version, ["Asia"])
    table(output).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert set(read(output).values()) == {rows_of(NAMES[1], ["Asia"])}
    assert pq.read_table(output.versions / NAMES[0] / "data")["user_id"].to_pylist() == ["user 1"], "the version stays"
    roll_back(str(output.link), None, delta=True)
    assert set(read(output).values()) == {rows_of(NAMES[0], ["Asia"])}


def test_many_versions_have_checkpoints(output: Output) -> None:
    for version in NAMES[:2]:
        publish(output, version, ["Asia"])
    for number in range(101):
        output.show(NAMES[number % 2])
    assert list((output.link.with_name("out.delta") / "_delta_log").glob("*.checkpoint.parquet"))
    assert set(read(output).values()) == {rows_of(NAMES[0], ["Asia"])}


def make_file(path: Path) -> None:
    path.touch()


def make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


def make_foreign(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").touch()


@pytest.mark.parametrize("make", [make_file, make_link, make_foreign])
def test_what_others_made_is_not_touched(make: object, tmp_path: Path) -> None:
    make(tmp_path / "out.delta")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"the Delta table .*out\.delta.*TABLE_FORMAT"):
        Output(str(tmp_path / "out"), delta=True).check()
    Output(str(tmp_path / "out")).check()


@pytest.mark.parametrize("name", ["a b", "\u00e9", "a%20b", "a#b", "env=prod", "a?"])
def test_a_path_that_readers_do_not_find_is_refused(name: str, tmp_path: Path) -> None:
    """Polars looks for the files of ``a b`` in ``a%20b``, and deltalake for a table ``a%20b`` in ``a b``."""
    with pytest.raises(ConfigError, match=r"would lie in .*Choose another --output, or TABLE_FORMAT = parquet"):
        Output(str(tmp_path / name / "out"), delta=True).check()
    Output(str(tmp_path / name / "out")).check()


@pytest.mark.parametrize("name", ["a+b", "a@b", "a,b", "a~b", "a.b-c_d"])
def test_every_reader_finds_the_table_at_a_path_that_is_taken(name: str, tmp_path: Path) -> None:
    output = Output(str(tmp_path / name / "out"), delta=True)
    output.check()
    publish(output, NAMES[0], ["North America"])
    assert read(output) == dict.fromkeys(DELTA_READERS, rows_of(NAMES[0], ["North America"]))


def test_what_is_missing_is_said_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(str(tmp_path / "out"), delta=True)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(EnvironmentFault, match=r"needs deltalake.*pip install -r .*requirements-delta\.txt"):
            output.check()

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(EnvironmentFault, match=r"cannot make hard links in .*out\.delta.*not permitted"):
        output.check()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out.delta", "out.versions"]


def test_a_commit_that_fails_is_made_up_for(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(output, NAMES[0], ["Asia"])

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", fail)
        with pytest.raises(EnvironmentFault, match=rf"version {NAMES[1]} is the result, but .*No space left.*next run"):
            publish(output, NAMES[1], ["Europe"])
    assert output.current() == NAMES[1]
    assert set(read(output).values()) == {rows_of(NAMES[0], ["Asia"])}
    output.update_table()
    assert set(read(output).values()) == {rows_of(NAMES[1], ["Europe"])}
