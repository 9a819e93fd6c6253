"""Output files: every total is written once, as DuckDB reads the folder back."""

import urllib.parse
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.aggregate.tasks import Phase2Result
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_totals import SCHEMA, write_totals
from pipeline.exchange.workspace import Workspace
from pipeline.geo.regions import is_text_to_readers
from pipeline.publish.context import PublishContext
from pipeline.publish.region_files import (
    group_files,
    list_region_files,
    partition_folder,
    sum_regions,
    write_output,
)
from pipeline.publish.tasks import RegionFile, WriteTask
from tests.examples import tries
from tests.harness import IN_MEMORY
from tests.names_of_regions import TEXTS
from tests.needs import needs_java
from tests.pipeline.publish.runs import PlainEngine, make_bucket
from tests.result_readers import COLUMNS, IN_PROCESS, Reading, SparkReader

REGIONS = ("Asia", "a/b=c %", "Élan")
BUCKETS = st.lists(
    st.dictionaries(st.integers(0, 2), st.tuples(st.integers(1, 40), st.just(1), st.just(1)), max_size=3), max_size=6
)


def publish_context(folder: Path, **changes: object) -> PublishContext:
    workspace = Workspace(str(folder / "work"))
    workspace.create()
    fields = {"file_rows": 1000, "compression": "zstd", "max_record": 256, "keep_raw": True, "region_names": REGIONS}
    return PublishContext(workspace=workspace, version="v1", **(fields | changes))  # type: ignore[arg-type]


def write_buckets(context: PublishContext, *buckets: list[tuple[str, int, int, int]]) -> Phase2Result:
    """Totals of buckets from rows (user, region code, micro-minutes, events), in order of region."""
    results = []
    for number, rows in enumerate(buckets):
        table = pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)
        sums = write_totals(context.workspace.path("totals", f"bucket-{number:04d}.parquet"), table.combine_chunks())
        results.append(make_bucket(number, sums))
    return Phase2Result(tuple(results), 0, 0)


@given(buckets=BUCKETS, file_rows=st.integers(1, 60))
def test_every_row_of_every_bucket_is_in_one_file(
    buckets: list[dict[int, tuple[int, int, int]]], file_rows: int
) -> None:
    buckets = [dict(sorted(regions.items())) for regions in buckets]
    phase2 = Phase2Result(tuple(make_bucket(number, regions) for number, regions in enumerate(buckets)), 0, 0)
    files = list_region_files(phase2, REGIONS, file_rows)
    found = Counter(
        (bucket, row, file.region)
        for file in files
        for bucket, first, rows in file.slices
        for row in range(first, first + rows)
    )
    expected = Counter[tuple[int, int, str]]()
    for number, regions in enumerate(buckets):
        names = [REGIONS[code] for code, (rows, _, _) in regions.items() for _ in range(rows)]
        expected.update((number, row, name) for row, name in enumerate(names))
    assert found == expected
    assert [file.region for file in files] == sorted((file.region for file in files), key=REGIONS.index)
    for region in REGIONS:
        of_region = [file for file in files if file.region == region]
        total = sum(file.rows for file in of_region)
        assert [file.number for file in of_region] == list(range(len(of_region)))
        assert len(of_region) <= -(-total // file_rows)
        longest_slice = max((rows for file in of_region for _, _, rows in file.slices), default=0)
        assert all(file.rows < file_rows + longest_slice for file in of_region)


@given(sizes=st.lists(st.integers(1, 50), max_size=40), file_rows=st.integers(1, 200))
def test_every_file_is_in_one_task_and_tasks_are_neither_too_large_nor_too_many(
    sizes: list[int], file_rows: int
) -> None:
    files = [RegionFile(f"r{number:02}", 0, ((number, 0, size),)) for number, size in enumerate(sizes)]
    tasks = group_files("out", files, file_rows)
    assert sorted((file for task in tasks for file in task.files), key=lambda file: file.region) == files
    rows = [sum(file.rows for file in task.files) for task in tasks]
    assert rows == sorted(rows, reverse=True)
    limit = min(file_rows, sum(sizes) // 16)
    for task, size in zip(tasks, rows, strict=True):
        assert size <= limit or len(task.files) == 1
    in_order = sorted(tasks, key=lambda task: task.files[0].region)
    for one, other in pairwise(in_order):
        together = sum(file.rows for file in (*one.files, *other.files[:1]))
        assert together > limit  # the first file of a task did not fit into the one before


def test_a_task_opens_each_bucket_once() -> None:
    files = (RegionFile("a", 0, ((0, 5, 2), (3, 0, 4))), RegionFile("b", 0, ((0, 7, 10), (1, 2, 1))))
    assert WriteTask("out", files).slices == [(0, 5, 12), (3, 0, 4), (1, 2, 1)]


USERS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
ROWS = st.lists(st.tuples(USERS, st.integers(0, 2), st.integers(0, 10**14), st.integers(1, 10**6)), max_size=25)


@tries(15)
@given(buckets=st.lists(ROWS, max_size=4), file_rows=st.integers(1, 30), codec=st.sampled_from(["none", "zstd"]))
def test_duckdb_reads_back_what_the_buckets_hold(
    buckets: list[list[tuple[str, int, int, int]]], file_rows: int, codec: str
) -> None:
    buckets = [sorted(rows, key=lambda row: row[1]) for rows in buckets]
    with TemporaryDirectory() as folder:
        context = publish_context(Path(folder), file_rows=file_rows, compression=codec)
        phase2 = write_buckets(context, *buckets)
        version = Path(folder) / "version"
        written = write_output(PlainEngine(), context, version, phase2, no_advance)
        rows = [row for bucket in buckets for row in bucket]
        found: list[tuple[str, str, float, int]] = []
        if rows:
            found = duckdb.execute(
                "select geo_region, user_id, total_watch_time_min, event_count "
                f"from read_parquet('{version}/data/*/*.parquet', "
                "hive_partitioning = true, hive_types_autocast = false)"
            ).fetchall()
        assert Counter(found) == Counter((REGIONS[code], user, micro / 10**6, n) for user, code, micro, n in rows)
        names = [path.name for path in version.glob("data/*/*.parquet")]
        assert all(name.startswith("part-") and name.endswith("-v1.parquet") for name in names)
        assert (written.rows, written.micro_minutes) == (len(rows), sum(micro for _, _, micro, _ in rows))
        totals = {
            REGIONS[code]: (len(of), sum(n for *_, n in of), sum(micro for _, _, micro, _ in of) / 10**6)
            for code in range(3)
            if (of := [row for row in rows if row[1] == code])
        }
        assert {total.region: (total.users, total.events, total.minutes) for total in written.regions} == totals
        minutes = [total.minutes for total in written.regions]
        assert minutes == sorted(minutes, reverse=True)


def test_minutes_are_divided_exactly(tmp_path: Path) -> None:
    """A product with the reciprocal of 10⁶ is wrong in the last place for about one number in ten."""
    context = publish_context(tmp_path)
    micros = list(range(1, 3000))
    phase2 = write_buckets(context, [(str(micro), 0, micro, 1) for micro in micros])
    write_output(PlainEngine(), context, tmp_path / "version", phase2, no_advance)
    (path,) = (tmp_path / "version").glob("data/*/*.parquet")
    assert pl.read_parquet(path)["total_watch_time_min"].to_list() == [micro / 10**6 for micro in micros]
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("mistake", [("kept", 4), ("regions", {0: (1, 3, 999)})], ids=["events", "watch time"])
def test_files_that_hold_something_else_are_not_published(mistake: tuple[str, object], tmp_path: Path) -> None:
    context = publish_context(tmp_path)
    bucket = write_buckets(context, [("ann", 0, 1_000, 3)]).buckets[0]
    wrong = Phase2Result((replace(bucket, **dict([mistake])),), 0, 0)  # type: ignore[arg-type]
    with pytest.raises(BalanceError, match="hold 3 events and 1000 micro-minutes, expected"):
        write_output(PlainEngine(), context, tmp_path / "version", wrong, no_advance)


@given(st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), max_size=12))
def test_a_folder_name_has_no_special_character_and_can_be_decoded(region: str) -> None:
    name = partition_folder(region)
    encoded = name.removeprefix("geo_region=")
    assert not set(encoded) & set("\"#'*/:=?\\{}[]^|<>\x7f\0\n")
    assert urllib.parse.unquote(encoded) == region


def test_the_most_watched_region_is_first_and_equal_ones_are_in_order_of_their_names() -> None:
    buckets = [make_bucket(0, {0: (1, 1, 5), 1: (1, 2, 9), 2: (1, 1, 3)}), make_bucket(1, {2: (4, 5, 6)})]
    found = sum_regions(Phase2Result(tuple(buckets), 0, 0), ("b", "a", "c"))
    assert [(total.region, total.users, total.events, total.minutes) for total in found] == [
        ("a", 1, 2, 9e-6),
        ("c", 5, 6, 9e-6),
        ("b", 1, 1, 5e-6),
    ]


NOTHING = Reading("text", frozenset(COLUMNS), ())


def write_nothing(folder: Path) -> Path:
    written = write_output(
        PlainEngine(),
        publish_context(folder),
        folder / "version",
        write_buckets(publish_context(folder), []),
        no_advance,
    )
    assert (written.rows, written.micro_minutes, written.regions) == (0, 0, ())
    return folder / "version" / "data"


@pytest.mark.parametrize("reader", IN_PROCESS)
def test_a_result_without_rows_has_its_columns_and_no_region(reader: str, tmp_path: Path) -> None:
    data = write_nothing(tmp_path)
    assert IN_PROCESS[reader](data) == NOTHING
    (path,) = (path for path in data.rglob("*") if path.is_file())
    assert path.name == "part-0000-v1.parquet"
    assert pq.read_schema(path).remove_metadata() == pa.schema(
        {"user_id": pa.string(), "total_watch_time_min": pa.float64(), "event_count": pa.int64()}
    )


def write_region(folder: Path, name: str) -> Path:
    """A result of one user in the region of this name."""
    context = publish_context(folder, region_names=(name,))
    write_output(
        PlainEngine(), context, folder / "version", write_buckets(context, [("ann", 0, 1_500_000, 2)]), no_advance
    )
    return folder / "version" / "data"


@pytest.mark.parametrize("reader", IN_PROCESS)
@pytest.mark.parametrize("name", TEXTS)
def test_the_name_of_a_region_is_that_text_to_every_reader(name: str, reader: str, tmp_path: Path) -> None:
    data = write_region(tmp_path, name)
    assert IN_PROCESS[reader](data) == Reading("text", frozenset(COLUMNS), ((name, "ann", 1.5, 2),))


ALMOST_VALUES = st.text("0123456789+-.:,/_ exXbdflLTtzZWnNaAiIuré()", min_size=1, max_size=12) | st.from_regex(
    r"[+-]?([0-9]{1,4}[-/.:]?){1,6}[ TW]?([0-9]{1,2}:?){0,3}[a-zA-Z+]{0,3}", fullmatch=True
)
"""Texts that are almost numbers, dates and times."""


@tries(150)
@given(name=ALMOST_VALUES)
def test_a_name_that_is_taken_is_text_to_every_reader(name: str) -> None:
    assume(name == name.strip() and is_text_to_readers(name))
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        data = write_region(Path(folder), name)
        for reader, read in IN_PROCESS.items():
            assert read(data) == Reading("text", frozenset(COLUMNS), ((name, "ann", 1.5, 2),)), reader


@needs_java
@pytest.mark.slow
def test_spark_reads_names_of_regions_and_a_result_without_rows(spark: SparkReader, tmp_path: Path) -> None:
    assert spark(write_nothing(tmp_path / "nothing")) == NOTHING
    for number, name in enumerate(TEXTS):
        data = write_region(tmp_path / f"{number}", name)
        assert spark(data) == Reading("text", frozenset(COLUMNS), ((name, "ann", 1.5, 2),)), name
    together = publish_context(tmp_path / "all", region_names=tuple(TEXTS))
    totals = write_buckets(together, [("ann", code, 1_500_000, 2) for code in range(len(TEXTS))])
    write_output(PlainEngine(), together, tmp_path / "all" / "version", totals, no_advance)
    found = spark(tmp_path / "all" / "version" / "data")
    assert found.region_type == "text"
    assert {row[0] for row in found.rows} == set(TEXTS)
