"""Runs of a job: what is published, what is computed again, and what stops a run."""

import gzip
import json
import random
import re
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipeline.datasets import changes, divide, make_table, sizes, units
from pipeline.datasets import run as job_run
from pipeline.datasets.demo import make_demo
from pipeline.datasets.failures import TransformError
from pipeline.datasets.job import JOBS, Job, load_job
from pipeline.datasets.judge import TABLE_REJECTS
from pipeline.datasets.views import open_tables
from pipeline.engines.direct import DirectEngine
from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.versions.lock import Lock
from pipeline.versions.outputs import roll_back
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, files, read, run, write_job, write_sales

SALES = [
    ("o1", "ann", "2026-01-01", "10.00"),
    ("o2", "ann", "2026-01-02", "0.50"),
    ("o2", "ann", "2026-01-02", "0.50"),
    ("o3", None, "2026-01-02", "7"),
    ("o4", "dan", "2026-01-03", "-1.00"),
    ("o5", "dan", "2026-13-01", "1.00"),
]


def test_tables_are_what_hand_computes(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    result = run(write_job(tmp_path / "job"), tmp_path)
    assert result.status == "ok"
    assert read(result, "totals").rows() == [(None, 1, 700), ("ann", 2, 1050)]
    assert {path for path in files(result.output) if path.startswith("lines/")} == {
        "lines/day=2026-01-01/part-0.parquet",
        "lines/day=2026-01-02/part-0.parquet",
    }
    assert (result.sources["sales"].rows, result.sources["sales"].rejected) == (5, 1)
    assert (result.tables["lines"].rows, result.tables["lines"].rejected) == (3, 1)


def test_rejected_rows_are_in_the_quarantine_of_the_owner(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    result = run(write_job(tmp_path / "job"), tmp_path)
    quarantine = Path(result.output).resolve().parent / "quarantine"
    assert quarantine.stat().st_mode & 0o777 == 0o700
    source = pl.read_parquet(quarantine / "sales" / "*.parquet").row(0, named=True)
    assert (source["file"], source["line"], source["column"], source["value"]) == ("sales.csv", 7, "day", "2026-13-01")
    assert source["raw"] == b"o5,dan,2026-13-01,1.00\n"
    table = pl.read_parquet(quarantine / "lines" / "*.parquet").row(0, named=True)
    assert (table["check"], table["value"], table["key"]) == ("at_least:cents", "-100", "o4")


def test_a_query_lists_the_rejected_rows_of_sources_and_checks(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job")
    sql = 'select "table", line, "check", "column" from quarantine order by line'
    expected = [
        ("sales", 7, "not a date in one of its formats", "day"), ("lines", None, "at_least:cents", "cents"),
    ]  # fmt: skip
    for rows, rejected in ((SALES, expected), (SALES[:1], [])):
        write_sales(tmp_path, rows)
        with open_tables(job, run(job, tmp_path).output, 10**9, 1) as database:
            assert database.execute(sql).fetchall() == rejected
            found = database.execute("from quarantine")
            assert [column[0] for column in found.description] == list(TABLE_REJECTS)
            assert len(found.fetchall()) == len(rejected)


def test_a_query_finds_tables_and_sources_without_rows(tmp_path: Path) -> None:
    """With the columns and types that they have with rows."""
    job = write_job(tmp_path / "job")
    (job.folder / "views.sql").write_text("create view ann as select sum(cents) as cents from lines where day is null;")
    types = []
    for rows in (SALES, []):
        write_sales(tmp_path, rows)
        with open_tables(job, run(job, tmp_path).output, 10**9, 1) as database:
            found = {name: database.execute(f"from {name}") for name in ("lines", "totals", "sales", "quarantine")}
            types.append({name: [column[:2] for column in one.description] for name, one in found.items()})
            assert database.execute("from ann").fetchall() == [(None,)]
    assert types[0] == types[1]


def test_buckets_workers_and_the_order_of_rows_change_no_byte(tmp_path: Path) -> None:
    chance = random.Random(3)
    rows = [(f"o{at}", f"c{chance.randrange(50)}", f"2026-01-{chance.randint(1, 9):02d}", at) for at in range(2_000)]
    write_sales(tmp_path, rows)
    job = write_job(tmp_path / "job")
    whole = files(run(job, tmp_path).output)
    chance.shuffle(rows)
    write_sales(tmp_path, rows[:700], "sales2.csv")
    write_sales(tmp_path, rows[700:])
    assert files(run(job, tmp_path, output=str(tmp_path / "other")).output) == whole


def test_many_buckets_make_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sales(tmp_path, [(f"o{at}", f"c{at % 37}", f"2026-01-{1 + at % 9:02d}", at % 50 - 1) for at in range(600)])
    job = write_job(tmp_path / "job")
    whole = run(job, tmp_path)
    monkeypatch.setattr(divide, "choose_buckets", lambda *_, **__: 8)
    monkeypatch.setattr(divide, "_SCATTER_ROWS", 100)
    monkeypatch.setattr(job_run, "open_engine", lambda *_: nullcontext(DirectEngine()))
    divided = run(job, tmp_path, output=str(tmp_path / "other"))
    assert files(divided.output) == files(whole.output)
    assert [(one.check, one.broken) for one in divided.checks] == [(one.check, one.broken) for one in whole.checks]


def test_what_does_not_fit_into_memory_is_named_before_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, SALES)
    text = HEAD + LINES.replace('by="order_id", ', "") + TOTALS
    monkeypatch.setattr(sizes, "bytes_of", lambda *_: 10**9)
    with pytest.raises(
        EnvironmentFault, match="data set lines needs sales whole, about 1 GB in memory, and there are 700 MB"
    ):
        run(write_job(tmp_path / "job", text), tmp_path)


def test_a_value_or_partition_that_outgrows_the_memory_is_named_before_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, [(f"o{at}", "ann", "2026-01-01", "1.00") for at in range(400)])
    job = write_job(tmp_path / "job")
    monkeypatch.setattr(divide, "choose_buckets", lambda *_, **__: 8)
    monkeypatch.setattr(job_run, "open_engine", lambda *_: nullcontext(DirectEngine()))
    monkeypatch.setattr(make_table, "exact_bytes", lambda *_: 700_000_000)
    with pytest.raises(EnvironmentFault, match=r"the largest partition of lines \(day\): .* about 700 MB"):
        run(job, tmp_path)
    monkeypatch.setattr(make_table, "exact_bytes", lambda *_: 0)
    monkeypatch.setattr(divide, "bytes_of", lambda files, _: 2_000_000 * sum(count for _, count in files.ranges))
    with pytest.raises(EnvironmentFault, match=r"the largest bucket of totals, where one value of customer .* 800 MB"):
        run(job, tmp_path)


def test_the_parts_of_a_table_do_not_depend_on_how_its_inputs_were_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "PART_BYTES", 10_000)
    rows = [(f"o{at}", f"customer-{at}", "2026-01-01", "1.00") for at in range(600)]
    job = write_job(tmp_path / "job", HEAD + LINES.replace(', partition_by="day"', "") + TOTALS)
    write_sales(tmp_path, rows)
    whole = files(run(job, tmp_path).output)
    assert {name.rpartition("-of-")[2] for name in whole if name.startswith("lines/")} == {"8.parquet"}
    for begin in range(0, 600, 100):
        write_sales(tmp_path, rows[begin : begin + 100], f"sales{begin}.csv")
    (tmp_path / "source" / "sales.csv").unlink()
    assert files(run(job, tmp_path, output=str(tmp_path / "other")).output) == whole


def test_of_a_whole_input_only_the_declared_columns_are_read_and_count_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, SALES)
    text = """

class Named(Contract):
    customer = Text("who", nullable=True)
    seen = Text("columns of the whole input")


@dataset(Named, grain="one row per customer", by="customer", keyed={"lines": ["customer"]},
         whole={"totals": ["orders"]}, lookup={"totals": "customer"}, key="customer")
def named(lines, totals):
    return lines.select("customer").unique().with_columns(pl.lit(",".join(totals.collect_schema())).alias("seen"))
"""
    read_columns = set()
    monkeypatch.setattr(sizes, "bytes_of", lambda files, _: read_columns.add(files.columns) or 1)
    result = run(write_job(tmp_path / "job", HEAD + LINES + TOTALS + text), tmp_path)
    assert set(read(result, "named")["seen"]) == {"orders,customer"}
    assert ("orders", "customer") in read_columns
    with pytest.raises(ConfigError, match="data set named: the input totals has no column order"):
        write_job(tmp_path / "other", HEAD + LINES + TOTALS + text.replace('["orders"]', '["order"]'))


def test_a_run_without_news_publishes_nothing(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job")
    first = run(job, tmp_path)
    again = run(job, tmp_path)
    assert again.status == "nothing new"
    assert Path(first.output).resolve().parent.name == first.run_id
    assert [one.recomputed for one in again.tables.values()] == [0, 0]


def test_only_what_depends_on_changed_rows_is_computed_again_and_files_are_shared(tmp_path: Path) -> None:
    write_sales(tmp_path, [(f"o{at}", f"c{at % 40}", f"2026-01-{1 + at % 9:02d}", "1.00") for at in range(400)])
    job = write_job(tmp_path / "job")
    before = Path(run(job, tmp_path).output).resolve()
    write_sales(tmp_path, [("new", "c3", "2026-01-02", "5.00")], "sales2.csv")
    result = run(job, tmp_path)
    after = Path(result.output).resolve()
    assert result.tables["lines"].recomputed == 1
    assert result.tables["totals"].recomputed == 1
    shared = [path for path in files(result.output) if (before / path).samefile(after / path)]
    assert sorted(set(files(result.output)) - set(shared)) == [
        "lines/day=2026-01-02/part-0.parquet",
        "totals/part-0.parquet",
    ]
    assert read(result, "totals").filter(pl.col("customer") == "c3").rows() == [("c3", 11, 1500)]


WHO = ["ann", "dan", None, "eve", "joe"]


def _amount(chance: random.Random) -> str:
    return f"{chance.randint(-100, 5_000) / 100:.2f}"


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_ten_days_of_changes_are_byte_for_byte_what_a_full_run_makes(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    job = write_job(tmp_path / "job")
    days: dict[str, list[tuple[str, str | None, str, str]]] = {}
    for day in range(10):
        days[f"sales{day}.csv"] = [
            (f"o{day}-{at}", chance.choice(WHO), f"2026-01-{1 + chance.randint(0, day):02d}", _amount(chance))
            for at in range(30)
        ]
        for name in chance.sample(sorted(days), min(2, len(days))):
            rows = days[name]
            rows[0] = (*rows[0][:3], "77.77")  # corrected
            del rows[chance.randrange(1, len(rows))]  # deleted
            rows.append(rows[0])  # repeated
        if day == 6:
            del days["sales1.csv"]
            (tmp_path / "source" / "sales1.csv").unlink()
        for name, rows in days.items():
            write_sales(tmp_path, rows, name)
        partly = run(job, tmp_path)
        if day % 3:
            continue
        fresh = run(job, tmp_path, output=str(tmp_path / f"fresh{day}"))
        assert files(partly.output) == files(fresh.output)
        assert [(c.check, c.broken) for c in partly.checks] == [(c.check, c.broken) for c in fresh.checks]
        assert {name: (one.rows, one.rejected) for name, one in partly.tables.items()} == {
            name: (one.rows, one.rejected) for name, one in fresh.tables.items()
        }


def test_a_failed_check_publishes_nothing(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(
        tmp_path / "job", (HEAD + LINES + TOTALS).replace("lines.group_by", "pl.concat([lines, lines]).group_by")
    )
    result = run(job, tmp_path)
    assert result.status == "failed"
    assert "conserves:cents<-lines" in str(result.error)
    assert "by 1,750 more" in str(result.error)
    assert not Path(result.output).exists()


def test_repeated_keys_stop_the_run(tmp_path: Path) -> None:
    write_sales(tmp_path, [*SALES, ("o1", "dan", "2026-01-01", "10.00")])
    result = run(write_job(tmp_path / "job"), tmp_path)
    assert "lines unique:order_id: " in str(result.error)


def test_a_fault_of_the_transform_names_line_and_values(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    text = HEAD + LINES + TOTALS.replace(
        'return lines.group_by("customer")',
        'ann = pl.when(pl.col("customer") == "ann").then(pl.col("customer"))\n'
        "    odd = lines.with_columns(ann.cast(pl.Int64).cast(pl.String))\n"
        '    return odd.group_by("customer")',
    )  # fmt: skip
    job = write_job(tmp_path / "job", text)
    line = next(at for at, one in enumerate(text.splitlines(), 1) if ".cast(pl.Int64)" in one)
    with pytest.raises(TransformError, match=rf"totals failed at .*/tables\.py:{line}, .* customer = ann") as raised:
        run(job, tmp_path)
    assert "conversion" not in str(raised.value)  # the library's message has values


def test_a_sum_that_does_not_fit_is_named_and_its_values_are_not(tmp_path: Path) -> None:
    more = [("o8", "joe", "2026-01-01", "92233720368547758.07"), ("o9", "joe", "2026-01-01", "0.01")]
    write_sales(tmp_path, [*SALES, *more])
    text = HEAD + LINES + TOTALS.replace('pl.col("cents").sum()', 'exact_sum("cents")')
    told = r"totals failed at .*, customer = joe: a sum or product does not fit into 64 bits\."
    with pytest.raises(TransformError, match=told) as raised:
        run(write_job(tmp_path / "job", text), tmp_path)
    assert "9223" not in str(raised.value)


def test_a_result_that_breaks_its_contract_is_named(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job", HEAD + LINES + TOTALS.replace('pl.col("cents").sum()', 'pl.col("cents").mean()'))
    with pytest.raises(
        TransformError, match=r"in all rows: totals: column cents is Float64, and Total declares Money \(Int64\)"
    ):
        run(job, tmp_path)


def test_only_some_tables_and_then_the_rest(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job")
    run(job, tmp_path)
    write_sales(tmp_path, [("o9", "eve", "2026-01-09", "1.00")], "sales2.csv")
    some = run(job, tmp_path, only=("lines",))
    assert read(some, "lines")["order_id"].to_list() == ["o1", "o2", "o3", "o9"]
    assert "eve" not in read(some, "totals")["customer"].to_list()
    write_sales(tmp_path, [("o8", "joe", "2026-01-09", "1.00")], "sales3.csv")
    rest = run(job, tmp_path)
    assert read(rest, "totals")["customer"].to_list() == [None, "ann", "eve", "joe"]
    assert rest.tables["totals"].reason == "it was left out of the run before"


def test_a_table_that_is_not_wanted_needs_no_source_that_is_new(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    run(write_job(tmp_path / "job"), tmp_path)
    text = HEAD + 'more = csv("more.csv", Sales)\n' + LINES + TOTALS.replace("(lines)", "(lines, more)")
    found = run(write_job(tmp_path / "job2", text), tmp_path, only=("lines",))
    assert (found.status, found.tables["totals"].rows) == ("ok", 2)


def test_rollback_shows_the_version_before_and_the_next_run_goes_on_from_there(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job")
    first = run(job, tmp_path)
    write_sales(tmp_path, [("o9", "eve", "2026-01-09", "1.00")], "sales2.csv")
    run(job, tmp_path)
    assert roll_back(first.output, None)[1] == first.run_id
    assert "eve" not in read(first, "totals")["customer"].to_list()
    assert "eve" in read(run(job, tmp_path), "totals")["customer"].to_list()


def test_code_that_changed_makes_its_tables_again(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    run(write_job(tmp_path / "job"), tmp_path)
    again = run(write_job(tmp_path / "job2", HEAD + LINES + TOTALS + "\n# new\n"), tmp_path)
    assert again.tables["totals"].reason == "the code or the settings changed"


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*sales\*\.csv"):
        run(write_job(tmp_path / "job"), tmp_path)


@pytest.mark.parametrize("name", [path.parent.name for path in JOBS.glob("*/__init__.py")])
def test_the_columns_of_a_missing_file_are_named_as_they_must_stand_in_it(name: str, tmp_path: Path) -> None:
    """A file of the job's own demo with the columns alone that the message calls needed is taken."""
    job = load_job(str(JOBS / name))
    make_demo(job, tmp_path / "demo")
    (tmp_path / "source").mkdir()
    for source in (one for one in job.sources.values() if not one.optional):
        with pytest.raises(InputError) as fault:
            run(job, tmp_path)
        _, file, text = re.split(r"there is no file |: expected CSV with ", str(fault.value).partition(". Name")[0])
        needed = [named.split(" or ")[0] for named in text.partition(" (optional: ")[0].split(", ")]
        (demo,) = (tmp_path / "demo").glob(source.path)
        assert Path(file.strip("'")).name == source.path
        rows = pl.read_csv(demo, infer_schema=False, columns=needed)
        rows.select(needed).write_csv(tmp_path / "source" / demo.name)
    result = run(job, tmp_path)
    assert all(found.rows for name, found in result.sources.items() if not job.sources[name].optional)


def test_copies_with_other_endings_are_skipped_and_listed(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES[:2])
    read_files = {"sales2.csv.gz": gzip.compress, "sales3.TSV": bytes}
    others = ["sales.csv.bak", "sales.csv~", "sales4.csv.gz.part", "sales5.csv.xz"]
    for number, (name, packed) in enumerate({**read_files, **dict.fromkeys(others, bytes)}.items(), 12):
        write_sales(tmp_path, [(f"o{number}", "ann", "2026-01-02", "99")], name)
        path = tmp_path / "source" / name
        path.write_bytes(packed(path.read_bytes()))
    job = write_job(tmp_path / "job", HEAD.replace("sales*.csv", "sales*") + LINES + TOTALS)
    for status in ("ok", "nothing new"):
        result = run(job, tmp_path)
        assert (result.status, list(result.skipped_files)) == (status, others)
        assert read(result, "lines")["order_id"].sort().to_list() == ["o1", "o12", "o13", "o2"]
    record = json.loads(Path(result.output).resolve().with_name("run.json").read_text())
    assert record["skipped_files"] == others
    assert ", ".join(others) in Path(result.output).resolve().with_name("report.html").read_text()


def test_a_source_with_none_but_copies_has_no_file(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES, "sales.csv.bak")
    with pytest.raises(InputError, match=r"there is no file '.*' \(skipped: .*sales\.csv\.bak\): expected CSV"):
        run(write_job(tmp_path / "job", HEAD.replace("sales*.csv", "sales*") + LINES), tmp_path)


def test_files_of_other_sources_are_not_skipped_and_a_file_that_is_named_has_any_ending(tmp_path: Path) -> None:
    head = HEAD.replace('csv("sales*.csv", Sales)', 'csv("sales.data", Sales)\nrates = parquet("", Sales)')
    both = LINES.replace("lines(sales)", "lines(sales, rates)").replace(
        'by="order_id",', 'by="order_id", keyed=["sales"],'
    )
    write_sales(tmp_path, SALES[:1], "sales.data")
    frame = pl.DataFrame({"order_id": ["o1"], "customer": ["a"], "day": ["2026-01-01"], "amount": ["1"]})
    frame.write_parquet(tmp_path / "source" / "rates.parquet")
    result = run(write_job(tmp_path / "job", head + both), tmp_path)
    assert ([one.rows for one in result.sources.values()], result.skipped_files) == ([1, 1], ())


@pytest.mark.parametrize("source", ["http://example.com/shop", "https://example.com/shop", "ftp://example.com/shop"])
def test_a_url_that_is_not_read_says_which_are(source: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"by {source.partition(':')[0]}://\. Expected a folder .*s3://.*postgresql://"
    ):
        run(write_job(tmp_path / "job"), tmp_path, source=source)
    declared = HEAD.replace("sales*.csv", f"{source}/sales.csv")
    with pytest.raises(ConfigError, match="a source cannot be read by"):
        run(write_job(tmp_path / "declared", declared + LINES), tmp_path)
    with pytest.raises(ConfigError, match=r"--output is .*expected a path, or a URL that begins with s3://"):
        run(write_job(tmp_path / "other"), tmp_path, output=source)


def test_a_column_that_the_source_lacks_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "sales.csv").write_text("order_id,day,amount\n1,2026-01-01,1\n")
    with pytest.raises(InputError, match=r"sales\.csv: the header lacks customer"):
        run(write_job(tmp_path / "job"), tmp_path)
    assert [path.name for path in (tmp_path / "output.versions").iterdir()] == []


FOLDERS = """

class Line(Sales):
    customer = Text("who")
    year = Int("year of the order")


@dataset(Line, layer="silver", grain="one row per order", by="order_id", key="order_id", partition_by="day",
         partition_setting="folders")
def lines(sales):
    return sales.with_columns(pl.col("day").dt.year().cast(pl.Int64).alias("year"))
"""


def test_a_setting_chooses_the_folders_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a part of them is computed again, and in several buckets."""
    job = write_job(tmp_path / "job", HEAD + FOLDERS, folders="day")
    rows = [(f"o{at}", f"c{at % 3}", f"202{at % 2}-01-01", 1) for at in range(60)]
    found = {}
    for folders in ("day", "year,customer", "customer"):
        write_sales(tmp_path, rows)
        run(job, tmp_path, settings={"folders": folders})
        write_sales(tmp_path, [*rows, ("new", "c2", "2020-01-01", 5)])
        after = run(job, tmp_path, settings={"folders": folders})
        assert after.tables["lines"].reason == "some rows changed"
        with monkeypatch.context() as many:
            many.setattr(divide, "choose_buckets", lambda *_, **__: 4)
            many.setattr(job_run.Run, "engine", DirectEngine())
            whole = run(job, tmp_path, settings={"folders": folders}, output=str(tmp_path / folders))
        assert files(after.output) == files(whole.output)
        assert len(read(after, "lines")) == 61
        found[folders] = {path.rpartition("/")[0].removeprefix("lines/") for path in files(after.output)}
    customers = {f"customer=c{number}" for number in range(3)}
    assert found == {
        "day": {"day=2020-01-01", "day=2021-01-01"},
        "year,customer": {f"year={year}/{customer}" for year in (2020, 2021) for customer in customers},
        "customer": customers,
    }


def test_a_value_that_is_too_long_for_a_folder_is_told_without_it(tmp_path: Path) -> None:
    write_sales(tmp_path, [("o1", "x" * 300, "2026-01-01", 1)])
    job = write_job(tmp_path / "job", HEAD + LINES.replace('"day"', '"customer"'))
    with pytest.raises(InputError, match="a value of customer makes a folder's name of 309 bytes") as told:
        run(job, tmp_path)
    assert "xx" not in str(told.value)


def test_a_check_may_name_a_setting_of_all_jobs(tmp_path: Path) -> None:
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1), ("o2", "ann", "2026-01-01", -1)])
    text = LINES.replace('at_least("cents", 0)', 'at_least("cents", 0, allowed="max_rejected_share")')
    for number, settings in enumerate(({}, {"max_rejected_share": 0.5})):
        job = write_job(tmp_path / f"job{number}", HEAD + text, **settings)
        assert run(job, tmp_path, output=str(tmp_path / f"{number}")).status == ("ok" if settings else "failed")


def test_folders_that_cannot_be_chosen_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are not there, that may be null, that are the key, or twice; and too many folders."""
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1), ("o2", "ann", "2026-01-02", 1)])
    job = write_job(tmp_path / "job", HEAD + FOLDERS, folders="day")
    for chosen in ("month", "", "order_id", "day,day", "day,cents"):
        told = rf"the setting folders is '{chosen}', expected columns of lines .* of customer, day, year$"
        with pytest.raises(ConfigError, match=told):
            run(job, tmp_path, settings={"folders": chosen})
    monkeypatch.setattr(units, "_MOST_CHOSEN_PARTITIONS", 1)
    with pytest.raises(
        ConfigError, match=r"the setting folders makes 2 partitions of lines \(day\), expected 1 at most"
    ):
        run(job, tmp_path)
    with pytest.raises(ConfigError, match="partition_setting names 'folders', which is no setting of the job"):
        write_job(tmp_path / "other", HEAD + FOLDERS)


def test_another_run_holds_the_output(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job")
    with Lock(tmp_path / "output.versions", "other"), pytest.raises(EnvironmentFault, match="another run holds"):
        run(job, tmp_path)


def test_parts_of_a_table_come_and_go_as_in_a_full_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_table, "choose_parts", lambda *_: 4)
    job = write_job(tmp_path / "job")
    write_sales(tmp_path, [(f"o{at}", f"c{at}", "2026-01-01", 1) for at in range(3)])
    run(job, tmp_path)
    write_sales(tmp_path, [("o1", "c1", "2026-01-01", 1)])
    monkeypatch.setattr(changes, "_FULL_SHARE", 10)
    partly = run(job, tmp_path)
    assert partly.tables["totals"].reason == "some rows changed"
    assert files(partly.output) == files(run(job, tmp_path, output=str(tmp_path / "fresh")).output)


def test_which_file_a_row_is_of_counts_as_changed_where_it_is_read(tmp_path: Path) -> None:
    keyed = 'by="order_id", keyed={"sales": [*Sales.columns, "_source"]},'
    last = 'sales.sort("_source").unique("order_id", keep="last", maintain_order=True).drop("_source")'
    text = LINES.replace('by="order_id",', keyed).replace("sales.unique()", last)
    job = write_job(tmp_path / "job", HEAD + text)
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1)], "sales1.csv")
    run(job, tmp_path)
    write_sales(tmp_path, [("o1", "dan", "2026-01-01", 1)], "sales2.csv")
    assert read(run(job, tmp_path), "lines")["customer"].to_list() == ["dan"]
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1), ("o2", "ann", "2026-01-01", 1)], "sales1.csv")
    assert read(run(job, tmp_path), "lines").sort("order_id")["customer"].to_list() == ["dan", "ann"]


@pytest.mark.parametrize("fact", ["_extracted_at", "_run"])
def test_when_a_file_came_is_read_of_snapshots_alone(fact: str, tmp_path: Path) -> None:
    """By it, files that come day by day would give other tables than the same files at once."""
    keyed = f'by="order_id", keyed={{"sales": [*Sales.columns, "{fact}"]}},'
    with pytest.raises(ConfigError, match=f"data set lines reads {fact} of the source sales, which keeps no snapshots"):
        write_job(tmp_path / "job", HEAD + LINES.replace('by="order_id",', keyed))


def test_the_time_of_an_extract_may_be_read_of_a_whole_input(tmp_path: Path) -> None:
    text = """

class Member(Contract):
    customer = Text("who")
    town = Text("where", nullable=True)


members = csv("members.csv", Member, snapshots=True)


@dataset(Member, grain="one row per customer", by="customer", keyed={"sales": ["customer"]}, key="customer",
         whole={"members": ["town", "_extracted_at"]}, lookup={"members": "customer"})
def towns(sales, members):
    last = members.sort("_extracted_at").unique("customer", keep="last", maintain_order=True)
    return sales.unique().join(last, on="customer", how="left").drop("_extracted_at")
"""
    job = write_job(tmp_path / "job", HEAD + text)
    write_sales(tmp_path, [(f"o{at}", f"c{at}", "2026-01-01", 1) for at in range(9)])
    for day, town in enumerate(["Rome", "Rome", "Bonn", "Wien"], 1):
        lines = ["customer,town", *(f"c{at},{town if at == 3 else 'Oslo'}" for at in range(9)), ""]
        (tmp_path / "source" / "members.csv").write_text("\n".join(lines))
        result = run(job, tmp_path, as_of=datetime(2026, 1, day))
        assert dict(read(result, "towns").iter_rows()) == {f"c{at}": town if at == 3 else "Oslo" for at in range(9)}


def test_bronze_keeps_what_was_extracted(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    job = write_job(tmp_path / "job")
    first = run(job, tmp_path)
    write_sales(tmp_path, SALES[:2])
    second = run(job, tmp_path)
    bronze = pl.read_parquet(tmp_path / "output.bronze" / "sales" / "*" / "rows-*.parquet")
    assert dict(bronze.group_by("_run").len().iter_rows()) == {first.run_id: 5, second.run_id: 2}
    assert set(bronze["_source"]) == {"sales.csv"}
    assert (tmp_path / "output.bronze").stat().st_mode & 0o777 == 0o700
    assert read(second, "lines")["order_id"].to_list() == ["o1", "o2"]


def test_the_record_says_what_was_made(tmp_path: Path) -> None:
    write_sales(tmp_path, SALES)
    result = run(write_job(tmp_path / "job"), tmp_path)
    record = json.loads((Path(result.output).resolve().parent / "run.json").read_text())
    assert record["tables"]["totals"]["rows"] == 2
    assert record["job"] == "job"


def test_declarations_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tables\.py:\d+: data set totals: by needs at least one keyed input"):
        write_job(tmp_path / "a", HEAD + LINES + TOTALS.replace('by="customer"', 'by="customer", whole=["lines"]'))
    with pytest.raises(ConfigError, match=r"there is no source or data set 'line'\. Did you mean lines\?"):
        write_job(
            tmp_path / "b",
            HEAD + LINES + TOTALS.replace("(lines)", "(line)").replace('source="lines"', 'source="line"'),
        )
    with pytest.raises(ConfigError, match="key names custome, which Total does not declare"):
        write_job(tmp_path / "c", HEAD + LINES + TOTALS.replace('key="customer"', 'key="custome"'))


@pytest.mark.parametrize("action", ['"reject"', '"drop"', 'chosen_by("copies", remove="drop")'])
def test_copies_are_removed_only_among_rows_that_meet(action: str, tmp_path: Path) -> None:
    """Otherwise the number of buckets, or a row that is computed again alone, would decide what is removed."""
    text = HEAD + LINES.replace('at_least("cents", 0)', f'unique("customer", action={action})')
    with pytest.raises(ConfigError, match=r"data set lines: unique:customer removes rows by others, .* of order_id"):
        write_job(tmp_path / "other", text, copies="remove")
    for name, job in {"covers": text.replace('"customer", a', '"customer", "order_id", a'),
                      "one call": text.replace('by="order_id", ', "")}.items():  # fmt: skip
        assert write_job(tmp_path / name, job, copies="remove")


DROPPING = LINES.replace('at_least("cents", 0)', 'not_null("customer", action=chosen_by("no_name", drop="drop"))')


def test_dropped_rows_are_counted_and_leave_no_values(tmp_path: Path) -> None:
    """Of all rows, also where only some are computed again; the ledger keeps no value of them."""
    job = write_job(tmp_path / "job", HEAD + DROPPING + TOTALS, no_name="drop")
    rows = [(f"o{at}", None if at < 3 else "ann", f"2026-01-0{1 + at % 2}", at) for at in range(12)]
    write_sales(tmp_path, rows[1:])
    run(job, tmp_path)
    write_sales(tmp_path, rows[:1], "sales2.csv")
    result = run(job, tmp_path)
    lines = result.tables["lines"]
    assert (lines.recomputed, lines.rows, lines.rejected, lines.dropped) == (1, 9, 0, 3)
    found = next(check for check in result.checks if check.check == "not_null:customer")
    assert (found.outcome, found.broken, found.of, found.dimension) == ("drop", 3, 12, "completeness")
    quarantine = Path(result.output).resolve().parent / "quarantine" / "lines" / "*.parquet"
    assert pl.read_parquet(quarantine).select("check", "value", "key", "raw").unique().rows() == [
        ("not_null:customer", None, None, None)
    ]


FILLING = LINES.replace(
    'at_least("cents", 0)',
    'not_null("customer", action=chosen_by("no_name", fill="fill")), expression("named", pl.col("customer") != "")',
)


def test_filled_values_are_counted_by_column_in_the_rows_that_are_computed(tmp_path: Path) -> None:
    """They are filled before other checks look at them; a table that is taken over had nothing filled by the run."""
    job = write_job(tmp_path / "job", HEAD + FILLING + TOTALS, no_name="fill:no one")
    rows = [(f"o{at}", None if at < 3 else "ann", f"2026-01-0{1 + at % 2}", at) for at in range(12)]
    write_sales(tmp_path, rows[1:])
    first = run(job, tmp_path)
    assert (first.tables["lines"].filled, first.tables["totals"].filled) == ({"customer": 2}, {})
    assert set(read(first, "lines").filter(pl.col("customer") == "no one")["order_id"]) == {"o1", "o2"}
    write_sales(tmp_path, rows[:1], "sales2.csv")
    second = run(job, tmp_path)
    assert (second.tables["lines"].recomputed, second.tables["lines"].filled) == (1, {"customer": 1})
    assert read(second, "lines")["customer"].to_list().count("no one") == 3
    page = Path(second.output).resolve().with_name("report.html").read_text()
    assert "customer 1" in page
    assert json.loads(Path(f"{second.output}.quality.json").read_text())["filled"] == {"lines": {"customer": 1}}
    other = run(job, tmp_path, settings={"no_name": "fill:"})
    assert (other.tables["lines"].rows, other.tables["lines"].rejected, other.tables["lines"].filled) == (
        9, 3, {"customer": 3}
    )  # fmt: skip
    assert run(job, tmp_path, settings={"no_name": "fill:"}).tables["lines"].filled == {}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('not_null("customer", action="fill")', "fills: expected not_null of one column, with a value"),
        ('not_null("cents", "customer", action="fill", value=1)', "fills: expected not_null of one column"),
        ('at_least("cents", 0, action="fill")', "fills: expected not_null of one column"),
        ('not_null("order_id", action="fill", value="x")', "fills a column of by, key or partition_by"),
        ('not_null("order_id", action=chosen_by("no_name", fill="fill"))', "fills a column of by, key"),
    ],
)
def test_a_check_that_cannot_fill_is_refused(declared: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write_job(tmp_path / "job", HEAD + LINES.replace('at_least("cents", 0)', declared), no_name="fill:x")


def test_a_value_of_another_type_fills_nothing(tmp_path: Path) -> None:
    declared = LINES.replace('at_least("cents", 0)', 'not_null("cents", action=chosen_by("no_cents", fill="fill"))')
    job = write_job(tmp_path / "job", HEAD + declared, no_cents="fill:abc")
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1)])
    with pytest.raises(ConfigError, match=r"check not_null:cents fills with 'abc', expected a value of type Int64"):
        run(job, tmp_path)
    assert run(job, tmp_path, settings={"no_cents": "fill:0"}).status == "ok"


def test_a_value_that_would_be_rounded_fills_nothing(tmp_path: Path) -> None:
    declared = LINES.replace('at_least("cents", 0)', 'not_null("cents", action="fill", value=1.7)')
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1)])
    with pytest.raises(ConfigError, match=r"check not_null:cents fills with 1.7, expected a value of type Int64"):
        run(write_job(tmp_path / "job", HEAD + declared), tmp_path)


def test_another_choice_of_a_setting_makes_the_table_again(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", HEAD + DROPPING + TOTALS, no_name="drop")
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", 1), ("o2", None, "2026-01-01", 2)])
    assert run(job, tmp_path).tables["lines"].rows == 1
    kept = run(job, tmp_path, settings={"no_name": "keep"})
    assert (kept.tables["lines"].rows, kept.tables["lines"].dropped) == (2, 0)
    assert not [check for check in kept.checks if check.check == "not_null:customer"]


CHOSEN = LINES.replace(
    'at_least("cents", 0)',
    """
    expression("dan", pl.col("customer") != "dan", action=chosen_by("dan", warn="warn", stop="fail"), allowed="share"),
    not_null("customer", action=chosen_by("none", warn="warn", stop="fail"), allowed="share")""",
)


@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("check", ["dan", "none"])
def test_another_choice_judges_rows_that_are_not_computed_again(check: str, news: bool, tmp_path: Path) -> None:
    """A check that warned or was left out, or whose share was larger, stops the run for all rows, as in a full one."""
    job = write_job(tmp_path / "job", HEAD + CHOSEN, dan="", none="", share=0.0)
    rows = [(f"o{at}", {"dan": "dan", "none": None}[check] if at == 1 else "ann", "2026-01-01", at) for at in range(9)]
    for before in ({check: "warn"}, {check: ""}, {check: "stop", "share": 0.5}):
        output = str(tmp_path / f"output-{before}")
        write_sales(tmp_path, rows)
        assert run(job, tmp_path, output=output, settings=before).status == "ok"
        write_sales(tmp_path, [*rows, ("o9", "ann", "2026-01-01", 1)] if news else rows)
        partly = run(job, tmp_path, output=output, settings={check: "stop"})
        assert partly.tables["lines"].reason == ("some rows changed" if news else "")
        full = run(job, tmp_path, output=output, settings={check: "stop"}, full_refresh=True)
        assert partly.checks == full.checks
        assert partly.status == full.status == "failed"


def test_a_check_that_is_left_out_is_not_told_any_more(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", HEAD + CHOSEN, dan="warn", none="", share=0.0)
    write_sales(tmp_path, [("o1", "dan", "2026-01-01", 1)])
    assert [check.outcome for check in run(job, tmp_path).checks] == ["ok", "ok", "warn"]
    left = run(job, tmp_path, settings={"dan": ""}).checks
    assert [check.check for check in left] == ["rejected", "unique:order_id"]


def test_an_amount_that_could_wrap_in_a_sum_is_told_as_long_as_it_is_there(tmp_path: Path) -> None:
    """Also where other rows alone are computed again."""
    job = write_job(tmp_path / "job", HEAD + LINES.replace('at_least("cents", 0)', ""))
    all_rows = [(f"o{at}", "ann", "2026-01-01", "-90000000000000000.00" if at == 3 else 1) for at in range(20)]
    for number, rows in enumerate([all_rows, [*all_rows, ("new", "ann", "2026-01-01", 1)], all_rows[4:]]):
        write_sales(tmp_path, rows)
        result = run(job, tmp_path)
        assert result.tables["lines"].reason == ("some rows changed" if number else "new")
        told = [check for check in result.checks if check.check == "sums_fit:cents"]
        assert [check.outcome for check in told] == ([] if number == 2 else ["warn"])


REFERENCE = """

class Rate(Contract):
    rate = {theirs}


class Use(Contract):
    rate = {ours}


rates, uses = csv("rates.csv", Rate), csv("uses.csv", Use)


@dataset(Rate, grain="one row per rate", by="rate")
def known(rates):
    return rates


@dataset(Use, grain="one row per use", by="rate", checks=[reference("rate", to="known")])
def used(uses):
    return uses
"""


def _references(tmp_path: Path, ours: str, theirs: str) -> Job:
    tables = REFERENCE.replace("{ours}", ours).replace("{theirs}", theirs)
    return write_job(tmp_path / "job", "from pipeline.datasets import *\n" + tables)


WHOLE, COARSE, FINE = (
    'Int("rate", nullable=True)', 'Decimal("rate", scale=2, nullable=True)', 'Decimal("rate", scale=4, nullable=True)',
)  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(FINE, COARSE), (COARSE, FINE), (WHOLE, COARSE), (WHOLE, WHOLE)],
    ids=["finer", "coarser", "whole", "alike"],
)
def test_a_reference_compares_exact_numbers_of_other_types(ours: str, theirs: str, tmp_path: Path) -> None:
    job = _references(tmp_path, ours, theirs)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "rates.csv").write_text("rate\n1\n2\n")
    (tmp_path / "source" / "uses.csv").write_text('rate\n1\n2\n3\n""\n')
    result = run(job, tmp_path)
    assert [None if value is None else int(value) for value in read(result, "used")["rate"]] == [None, 1, 2]
    assert result.tables["used"].rejected == 1


def test_a_reference_between_types_that_are_never_equal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data set used: reference:rate->known compares String \(rate\) with Int64"):
        _references(tmp_path, 'Text("rate")', WHOLE)


@pytest.mark.parametrize(("days", "rows"), [(3, 30_000), (300, 900)])
@pytest.mark.parametrize("name", ["day", "_part", "_rows", "day_rows"])
def test_partitions_of_any_name_number_and_size_are_in_order(days: int, rows: int, name: str, tmp_path: Path) -> None:
    """Few large ones are sorted one by one, others at once."""
    begin = date(2026, 1, 1)
    sales = [(f"o{at * 7919 % rows}", None, begin + timedelta(days=at % days), at % 50) for at in range(rows)]
    write_sales(tmp_path, sales)
    text = (HEAD + LINES).replace('partition_by="day"', f'partition_by="{name}"')
    text = text.replace('    day = Date("when")', f'    {name} = Date("when", read_from="day")')
    result = run(write_job(tmp_path / "job", text), tmp_path)
    expected: dict[str, list[str]] = {}
    for order, _, day, _ in sales:
        expected.setdefault(f"lines/{name}={day}/part-0.parquet", []).append(order)
    found = {file: pl.read_parquet(Path(result.output) / file)["order_id"].to_list() for file in files(result.output)}
    assert found == {file: sorted(orders) for file, orders in expected.items()}
