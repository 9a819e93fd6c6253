"""Runs after a change: what is computed again, and that all is as if it was made anew."""

import random
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Contract, Int, Text, dataset, divide, sizes, units
from pipeline.datasets import run as job_run
from pipeline.datasets.changes import Change, changed_rows
from pipeline.datasets.job import Job
from pipeline.datasets.parquet_columns import replace_columns
from pipeline.datasets.result import JobResult
from pipeline.datasets.units import in_order, scan_file
from pipeline.engines.direct import DirectEngine
from pipeline.errors import ConfigError
from tests.pipeline.datasets.jobs_for_tests import HEAD, files, read, run, write_job, write_sales

TABLES = """

@dataset(Sales, layer="silver", grain="one row per order", by="order_id", key="order_id", partition_by="day",
         checks=[at_most("cents", 4000)])
def lines(sales):
    return sales.unique()


class Member(Contract):
    customer = Text("who")
    town = Text("where")
    mood = Text("how")


class Visit(Contract):
    order_id = Text("order")
    customer = Text("who", nullable=True)
    town = Text("where", nullable=True)
    cents = Money("amount", currency="EUR")


class Seen(Contract):
    day = Date("when")


members = csv("members.csv", Member)


@dataset(Member, layer="silver", grain="one row per member", by="customer", key="customer")
def people(members):
    return members.unique("customer")


@dataset(Visit, grain="one row per order", by="order_id", key="order_id",
         whole={"people": ["town"]}, lookup={"people": "customer"},
         checks=[at_least("cents", 0), reference("customer", to="people", action=ACTION),
                 expression("small", pl.col("cents") < 2000, action="warn")])
def visits(lines, people):
    return lines.join(people, on="customer", how="left").select("order_id", "customer", "town", "cents")


@dataset(Seen, grain="one row per day", by="day", key="day", keyed={"lines": ["day"]})
def seen_days(lines):
    return lines.unique()
"""
SALES = [(f"o{at}", f"c{at % 20}", f"2026-01-{1 + at % 9:02d}", at % 40) for at in range(400)]
MEMBERS = {f"c{at}": ("here", "glad") for at in range(20)}


def _job(folder: Path, action: str) -> Job:
    return write_job(folder, HEAD + TABLES.replace("ACTION", repr(action)))


def _write(folder: Path, members: dict[str, tuple[str, str]], sales: list[tuple[str, str | None, str, int]]) -> None:
    write_sales(folder, sales)
    lines = [f"{name},{town},{mood}" for name, (town, mood) in members.items()]
    (folder / "source" / "members.csv").write_text("\n".join(["customer,town,mood", *lines, ""]))


def _all_of(result: JobResult) -> tuple[object, ...]:
    """The files of a run, its rejected rows and what its checks found."""
    quarantine = Path(result.output).resolve().parent / "quarantine"
    columns = ["table", "check", "column", "value", "key", "by"]
    rejected = [pl.read_parquet(path).select(columns) for path in sorted(quarantine.rglob("*.parquet"))]
    told = pl.concat(rejected).sort(columns).rows() if rejected else []
    checks = {(one.table, one.check): (one.broken, one.of, one.outcome) for one in result.checks}
    return files(result.output), told, checks


@pytest.mark.parametrize("action", ["warn", "reject", "drop"])
def test_members_that_come_go_and_move_are_as_in_a_full_run(action: str, tmp_path: Path) -> None:
    chance = random.Random(action)
    job = _job(tmp_path / "job", action)
    members, sales = dict(MEMBERS), list(SALES)
    reasons = []
    for day in range(7):
        for at in chance.sample(range(400), 2 * (day % 2)):
            sales[at] = (*sales[at][:3], chance.randint(-2, 42))
        if day % 3 == 1:
            members[f"c{chance.randrange(25)}"] = (chance.choice(["here", "there"]), chance.choice(["glad", "sad"]))
        elif day % 3 == 2:
            del members[chance.choice(list(members))]
        _write(tmp_path, members, sales)
        partly = run(job, tmp_path)
        assert _all_of(partly) == _all_of(run(job, tmp_path, output=str(tmp_path / f"fresh{day}")))
        reasons.append(partly.tables["visits"].reason)
    assert "some rows changed" in reasons


def test_a_change_that_a_table_does_not_see_computes_nothing_of_it(tmp_path: Path) -> None:
    job = _job(tmp_path / "job", "warn")
    _write(tmp_path, MEMBERS, SALES)
    run(job, tmp_path)
    _write(tmp_path, {**MEMBERS, "c3": ("here", "sad")}, [("o0", "c0", "2026-01-01", 39), *SALES[1:]])
    second = run(job, tmp_path)
    assert [second.tables[name].recomputed for name in ("people", "lines", "visits", "seen_days")] == [1, 1, 1, 0]
    assert second.tables["seen_days"].reason == ""
    _write(tmp_path, {**MEMBERS, "c3": ("there", "sad")}, [("o0", "c0", "2026-01-10", 39), *SALES[1:]])
    third = run(job, tmp_path)
    assert [third.tables[name].recomputed for name in ("people", "lines", "visits", "seen_days")] == [1, 1, 21, 2]
    assert third.tables["seen_days"].reason == "some rows changed"


def test_a_value_that_a_reference_finds_no_more_stops_the_run(tmp_path: Path) -> None:
    job = _job(tmp_path / "job", "fail")
    _write(tmp_path, MEMBERS, SALES)
    assert run(job, tmp_path).status == "ok"
    _write(tmp_path, {name: MEMBERS[name] for name in MEMBERS if name != "c7"}, SALES)
    assert "visits reference:customer->people: 20" in str(run(job, tmp_path).error)


def test_affected_rows_that_do_not_fit_into_memory_at_once_are_made_in_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member has 20 of 400 orders, of 4 MB each; three members need 60 * 4 MB * 3, and there are 700 MB."""
    job = _job(tmp_path / "job", "warn")
    _write(tmp_path, MEMBERS, SALES)
    run(job, tmp_path)
    for module in (sizes, divide):
        monkeypatch.setattr(module, "bytes_of", lambda files, _: 4_000_000 * sizes.rows_of(files))
    monkeypatch.setattr(job_run, "open_engine", lambda *_: nullcontext(DirectEngine()))
    for moved, reason in {1: "some rows changed", 3: "more of it is affected than fits into memory at once"}.items():
        town = f"with {moved}"
        _write(tmp_path, MEMBERS | {f"c{at}": (town, "glad") for at in range(moved)}, SALES)
        partly = run(job, tmp_path)
        assert partly.tables["visits"].reason == reason
        assert read(partly, "visits").filter(pl.col("town") == town).height == 20 * moved


def test_rows_are_not_written_where_most_of_an_input_changed(tmp_path: Path) -> None:
    old, new, come = (str(tmp_path / name) for name in ("old", "new", "come"))
    for path, rows in {old: range(10), new: range(3, 13), come: range(4)}.items():
        pl.DataFrame({"a": rows}).write_parquet(path)
    for gone, came, number in (([old], [new], 6), ([], [come], 4)):
        few = changed_rows(gone, came, ["a"], tmp_path / f"{number}", int(number / 0.4))
        assert scan_file(few.rows).collect().height == number
        most = changed_rows(gone, came, ["a"], tmp_path / "rows", int(number / 0.4) - 1)
        assert most == Change(everything="most of an input changed")
    assert not (tmp_path / "rows").exists()


CHAIN = """

class Member(Contract):
    customer = Text("who")
    town = Text("where")


class Town(Contract):
    town = Text("where")
    land = Text("country")


members = csv("members.csv", Member)
towns = csv("towns.csv", Town)


@dataset(Town, grain="one row per customer", by="customer", KEYED lookup={"members": "customer", "towns": "town"})
def lands(sales, members, towns):
    return sales.join(members, on="customer").join(towns, on="town").select("town", "land").unique()
"""


def test_a_lookup_by_a_column_of_another_lookup_is_refused(tmp_path: Path) -> None:
    """No keyed row tells whom a change of it affects."""
    expected = r"data set lands: the lookup towns goes by town, which no keyed input has .* take towns out of lookup"
    for name, keyed in {"all": "", "some": 'keyed={"sales": ["customer"]},'}.items():
        with pytest.raises(ConfigError, match=expected):
            write_job(tmp_path / name, HEAD + CHAIN.replace("KEYED", keyed))
    unread = CHAIN.replace("KEYED", 'keyed={"sales": ["customer"]},').replace('"town"}', '"day"}')
    with pytest.raises(ConfigError, match="goes by day, which no keyed input has among the columns that are read"):
        write_job(tmp_path / "unread", HEAD + unread.replace("town = ", "day = Text('d')\n    town = "))
    whole = CHAIN.replace("KEYED", 'keyed=["sales"],').replace(', "towns": "town"}', "}")
    assert write_job(tmp_path / "whole", HEAD + whole)


class _Row(Contract):
    a = Text("first of the order", nullable=True)
    b = Int("second of the order", nullable=True)


@dataset(_Row, grain="one row per a and b", key=("a", "b"))
def _rows(given: pl.LazyFrame) -> pl.LazyFrame:
    return given


@dataset(_Row, grain="one row per a and b", key=("b", "a"), partition_by=("a",))
def _parts(given: pl.LazyFrame) -> pl.LazyFrame:
    return given


_TEXTS = st.sampled_from([None, "", "a", "ab", "b", "é", "z"])


@given(st.lists(st.tuples(_TEXTS, st.none() | st.integers(0, 5)), unique=True))
def test_rows_are_in_order_with_nulls_first(pairs: list[tuple[str | None, int | None]]) -> None:
    rows = pl.DataFrame(pairs, schema=_Row.schema(), orient="row")
    expected = sorted(pairs, key=lambda pair: [(value is not None, value) for value in pair])
    assert in_order(rows, _rows).rows() == expected
    assert in_order(rows, _parts).rows() == expected


@pytest.mark.parametrize("known", [True, False])
def test_rows_that_stay_in_place_leave_other_columns_as_they_lie(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only ``cents`` is written again; all is, where another version of Polars wrote the file before."""
    job = _job(tmp_path / "job", "warn")
    _write(tmp_path, MEMBERS, SALES)
    run(job, tmp_path)
    written = []

    def replace(before: bytes, changed: bytes, key_values: Mapping[bytes, bytes]) -> bytes | None:
        written.append(pl.read_parquet(changed).columns)
        return replace_columns(before, changed, key_values) if known else None

    monkeypatch.setattr(units, "replace_columns", replace)
    _write(tmp_path, MEMBERS, [("o0", "c0", "2026-01-01", 39), *SALES[1:]])
    partly = run(job, tmp_path)
    assert written == [["cents"], ["cents"]]  # of lines and of visits
    assert _all_of(partly) == _all_of(run(job, tmp_path, output=str(tmp_path / "fresh")))
