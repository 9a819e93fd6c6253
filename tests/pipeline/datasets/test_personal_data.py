"""Personal values are hidden in every file but the clear ones of bronze, and nothing else changes by that."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets import forget as forget_module
from pipeline.datasets.forget import Forgetting, forget_people
from pipeline.datasets.job import Job
from pipeline.datasets.plan import plan_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.datasets.settings import JobSettings
from pipeline.errors import ConfigError, InputError
from pipeline.privacy import KEY_VARIABLE
from pipeline.sources.protection import decrypt, hide_text
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, read, run, write_job

PEOPLE = '''

class Person(Contract):
    customer = Text("who", forget="row")
    name = Text("name", nullable=True, sensitive="name")
    email = Text("mail", nullable=True, sensitive="email")
    since = Date("first day")


class Buyer(Contract):
    customer = Text("who", nullable=True)
    name = Text("name", nullable=True, sensitive="name")
    email = Text("mail", nullable=True, sensitive="email")
    cents = Money("sum", currency="EUR")


people = csv("people*.csv", Person, snapshots=True)


@dataset(Buyer, grain="one row per customer", by="customer", keyed=["lines", "people"], key="customer",
         checks=[matches("email", ".*", action="reject", allowed=1.0)])
def buyers(lines, people):
    """Customers with what they bought."""
    sums = lines.group_by("customer").agg(pl.col("cents").sum())
    last = people.sort("_extracted_at").unique("customer", keep="last", maintain_order=True)
    return sums.join(last.select("customer", "name", "email"), on="customer", how="left")
'''
JOB = HEAD.replace('Text("who", nullable=True)', 'Text("who", nullable=True, forget="value")') + LINES + PEOPLE
STRICT = JOB.replace('matches("email", ".*"', 'matches("email", "x"')
ROWS = [
    ("c1", "Ann Marker-Anna", "ann@marker-anna.example", "2026-01-01"),
    ("c2", "Dan Marker-Dan", "dan@marker-dan.example", "2026-01-02"),
    ("c3", "Eve Marker-Eve", "eve@marker-eve.example", "marker-no-date"),
    ("c4", "", "ann@marker-anna.example", "2026-01-03"),
]
SALES = [("o1", "c1", "2026-01-01", "10.00"), ("o2", "c2", "2026-01-02", "0.50"), ("o3", "c1", "2026-01-02", "1.00")]
KEY = "a key of tests that is long enough"


def write_rows(folder: Path, people: list[tuple[str, ...]] = ROWS, sales: list[tuple[str, ...]] = SALES) -> None:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    for name, head, rows in (
        ("people", "customer,name,email,since", people), ("sales", "order_id,customer,day,amount", sales),
    ):  # fmt: skip
        (source / f"{name}.csv").write_text("\n".join([head, *map(",".join, rows), ""]))


def texts(path: Path) -> str:
    """All that a file says: of Parquet its values."""
    if path.suffix == ".parquet":
        return str(pl.read_parquet(path, hive_partitioning=False).rows())
    return path.read_bytes().decode("utf-8", "backslashreplace")


def found_in(folder: Path, *values: str, clear: bool = False) -> list[str]:
    """Files that have one of the values. ``clear``: also those of bronze that are meant to have them."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0][:6] == "output"]
    paths = [path for path in paths if clear or not path.name.startswith("clear-")]
    return [path.relative_to(folder).as_posix() for path in paths if any(value in texts(path) for value in values)]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    write_rows(tmp_path)
    return write_job(tmp_path / "job", JOB)


def buyers(result: JobResult) -> list[tuple[Any, ...]]:
    return read(result, "buyers").rows()


def hashed(text: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_values_are_hashed_everywhere_but_in_the_clear_files_of_bronze(job: Job, tmp_path: Path) -> None:
    strict = write_job(tmp_path / "strict", STRICT)
    assert set(strict.sources) == set(job.sources)
    result = run(strict, tmp_path)
    assert found_in(tmp_path, "arker", KEY) == []
    kept = {path.rpartition("/")[2] for path in found_in(tmp_path, "arker", clear=True)}
    assert kept == {"clear-rows-000000.parquet", "clear-rejects-0000.parquet"}
    assert buyers(result) == []  # the check rejects all, and the quarantine has keys and hashes alone
    quarantine = pl.read_parquet(Path(result.output).resolve().parent / "quarantine/buyers/*.parquet")
    assert sorted(quarantine["value"]) == sorted(hashed(row[2]) for row in ROWS[:2])
    rejected = pl.read_parquet(Path(result.output).resolve().parent / "quarantine/people/*.parquet")
    assert rejected.select("line", "column", "value", "raw").rows() == [(4, "since", None, None)]


def test_bronze_is_for_its_owner_alone(job: Job, tmp_path: Path) -> None:
    (tmp_path / "output.bronze").mkdir(mode=0o755)
    run(job, tmp_path)
    for path in (tmp_path / "output.bronze", *(tmp_path / "output.bronze").rglob("*.parquet")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    ("personal", "name", "email"),
    [
        ({"name": "cut", "email": "cut"}, "A. M. A.", "***@marker-anna.example"),
        ({"name": "drop", "email": "keep"}, None, "ann@marker-anna.example"),
    ],
)
def test_classes_are_hidden_as_the_settings_say(
    personal: dict[str, str], name: str | None, email: str, job: Job, tmp_path: Path
) -> None:
    assert buyers(run(job, tmp_path, personal=personal))[0] == ("c1", name, email, 1100)


def test_encrypted_values_are_equal_where_the_clear_ones_are_and_the_key_opens_them(job: Job, tmp_path: Path) -> None:
    sales = [*SALES, ("o4", "c4", "2026-01-03", "1.00")]
    write_rows(tmp_path, sales=sales)
    rows = buyers(run(job, tmp_path, personal={"email": "encrypt"}))
    emails = [email for _, _, email, _ in rows]
    assert [decrypt(email, KEY.encode()) for email in emails] == [ROWS[0][2], ROWS[1][2], ROWS[3][2]]
    assert emails[0] == emails[2] != emails[1]
    with pytest.raises(ValueError, match="another key"):
        decrypt(emails[0], b"another key, which is long enough")
    assert found_in(tmp_path, "arker", KEY) == []


@pytest.mark.parametrize("key", [KEY.encode(), b"\xff" * 80, b"\0" * 16])
def test_hashes_are_those_of_the_standard_library_for_any_key(key: bytes) -> None:
    for value in ("Ann", "Zoë\n", "x" * 200):
        expected = hmac.new(key, value.encode(), hashlib.sha256).hexdigest()
        assert hide_text(value, "hash", "name", key) == expected


def test_without_a_key_one_of_chance_is_kept_beside_bronze(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    run(job, tmp_path)
    key = tmp_path / "output.bronze.key"
    assert key.stat().st_mode & 0o777 == 0o600
    people = pl.read_parquet(tmp_path / "output.bronze/people/*/rows-*.parquet")
    assert people["name"][0] == hashed("Ann Marker-Anna", key.read_text())
    assert run(job, tmp_path).status == "nothing new"
    assert found_in(tmp_path, key.read_text()) == ["output.bronze.key"]


def test_another_method_hides_what_was_extracted_before_too(job: Job, tmp_path: Path) -> None:
    open_ = run(job, tmp_path, personal={"name": "keep", "email": "keep"})
    assert buyers(open_)[0][1:3] == ROWS[0][1:3]
    write_rows(tmp_path, people=[ROWS[1]])  # a snapshot more, of which the first one has to be hidden as well
    with pytest.raises(ConfigError, match="omit --only once"):
        run(job, tmp_path, only=("lines",))
    steps = {step.name: step.reason for step in plan_job(job, JobOptions(str(tmp_path / "source"), open_.output))}
    assert steps["people"] == "its personal values are to be hidden otherwise"
    hidden = run(job, tmp_path)
    assert buyers(hidden)[0] == ("c1", hashed(ROWS[0][1]), hashed(ROWS[0][2]), 1100)
    assert hidden.tables["lines"].recomputed == 0
    cut = run(job, tmp_path, personal={"name": "cut"})
    assert [row[1] for row in buyers(cut)] == ["A. M. A.", "D. M. D."]
    clean = run(job, tmp_path, output=str(tmp_path / "output-of-its-own"), personal={"name": "cut"})
    assert buyers(cut)[1:] == buyers(clean)[1:]


def test_old_bronze_loses_its_clear_values_and_what_no_version_needs(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(f"2026{day}T000000Z-00000a" for day in ("0101", "0201", "0228", "0301"))
    monkeypatch.setattr("pipeline.datasets.driver.new_run_id", lambda: next(ids))
    run(job, tmp_path)
    write_rows(tmp_path, sales=SALES[:2])
    second = run(job, tmp_path, keep=1, bronze_days=20)
    assert found_in(tmp_path, "arker", clear=True) == []
    assert len(list((tmp_path / "output.bronze/sales").iterdir())) == 1
    third = run(job, tmp_path, bronze_days=20)
    assert second.notes == []
    assert [note.partition(":")[0] for note in third.notes] == ["bronze keeps 1 extract of sales beyond 20 days"]
    with pytest.raises(InputError, match=r"clear values in .* were removed after bronze_days"):
        run(job, tmp_path, personal={"name": "cut"})


@pytest.mark.parametrize(
    ("personal", "message"),
    [
        ({"phone": "hash"}, "no source of job has values of the class 'phone'. Classes: email, name"),
        ({"email": "md5"}, "email is 'md5', expected one of hash, encrypt, cut, drop, keep"),
    ],
)
def test_classes_and_methods_that_are_wrong_are_named(
    personal: dict[str, str], message: str, job: Job, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(job, tmp_path, personal=personal)


def test_a_column_that_a_method_does_not_fit_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path)
    dates = write_job(tmp_path / "dates", JOB.replace('Date("first day")', 'Date("first day", sensitive="birth")'))
    with pytest.raises(ConfigError, match=r"column since of Person \(class birth\) is no text"):
        run(dates, tmp_path)
    with pytest.raises(ConfigError, match=r"column since of Person \(class birth\) is never null"):
        run(dates, tmp_path, personal={"birth": "drop"})
    assert run(dates, tmp_path, personal={"birth": "keep"}).status == "ok"


ZOES = [("zz-one", "Zoe Marker-Zoe", "zoe@marker-zoe.example", "2026-01-01"), ("zz-one", "Zoe", "", "zoe-date")]
MORE = [*ROWS[:2], *ZOES]
MORE_SALES = [*SALES, ("o7", "zz-one", "2026-01-02", "9.00"), ("o8", "zz-one", "2026-01-07", "-9.00")]
ZOE = ("zz-one", "Zoe", "zoe", hashed("Zoe Marker-Zoe"))


def forget(job: Job, folder: Path, *ids: str, **settings: str | float) -> Forgetting:
    config = Config(ENGINE="polars", MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1)
    options = JobOptions(str(folder / "nowhere"), str(folder / "output"))
    return forget_people(job, config, options, ids, NullProgress(), JobSettings(values=settings))


@pytest.mark.parametrize("method", ["hash", "keep"])
def test_a_forgotten_person_is_nowhere_and_other_rows_stay(method: str, job: Job, tmp_path: Path) -> None:
    personal = dict.fromkeys(("name", "email"), method)
    write_rows(tmp_path, MORE, SALES)
    run(job, tmp_path, personal=personal)
    write_rows(tmp_path, MORE, MORE_SALES)
    before = run(job, tmp_path, personal=personal)
    rows = {table: read(before, table) for table in ("lines", "buyers")}
    found = forget(job, tmp_path, "zz-one")
    assert found_in(tmp_path, *ZOE, clear=True) == []
    assert (found.removed, found.versions_removed, found.result.status) == ({"people": 1}, 2, "ok")
    stays = rows["buyers"].filter(pl.col("customer") != "zz-one")
    assert read(found.result, "buyers").filter(pl.col("customer").is_not_null()).equals(stays)
    theirs = pl.when(pl.col("customer") != "zz-one").then(pl.col("customer")).alias("customer")
    assert read(found.result, "lines").equals(rows["lines"].with_columns(theirs))
    write_rows(tmp_path, [*MORE, ("c9", "Joe", "", "2026-01-01")], [*MORE_SALES, ("o9", "c9", "2026-01-09", "1.00")])
    again = run(job, tmp_path, personal=personal)
    assert "c9" in read(again, "buyers")["customer"].to_list()
    run(job, tmp_path, personal=personal, full_refresh=True)
    assert found_in(tmp_path, *ZOE, clear=True) == []


def test_forgetting_goes_on_where_it_was_interrupted(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path, MORE, MORE_SALES)
    run(job, tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(forget_module, "keep_only", mock.Mock(side_effect=OSError("no more")))
        with pytest.raises(OSError, match="no more"):
            forget(job, tmp_path, "zz-one")
    assert found_in(tmp_path, *ZOE, clear=True) != []
    with pytest.raises(InputError, match="people are being forgotten, which was interrupted"):
        run(job, tmp_path)
    assert forget(job, tmp_path).result.status == "nothing new"
    assert found_in(tmp_path, *ZOE, clear=True) == []
    assert run(job, tmp_path).status == "nothing new"
    with pytest.raises(ConfigError, match="forget needs the ids"):
        forget(job, tmp_path)


def test_other_rows_stay_as_the_settings_of_their_version_made_them(job: Job, tmp_path: Path) -> None:
    text = JOB.replace("def buyers(lines, people):", "def buyers(lines, people, settings):").replace(
        'pl.col("cents").sum())', 'pl.col("cents").sum() * settings["times"])'
    )
    paid = write_job(tmp_path / "paid", text, times=1)
    write_rows(tmp_path, MORE, MORE_SALES)
    before = read(run(paid, tmp_path, settings={"times": 100}), "buyers")
    assert set(paid.sources) == set(job.sources)
    left = read(forget(paid, tmp_path, "zz-one").result, "buyers")
    assert left.filter(pl.col("customer").is_in(["c1", "c2"])).equals(
        before.filter(pl.col("customer").is_in(["c1", "c2"]))
    )
    assert left["cents"].sum() == before["cents"].sum()


def test_an_id_that_nobody_has_removes_nothing_and_is_kept_out(job: Job, tmp_path: Path) -> None:
    for number in range(5):  # so that there are extracts that no kept version is made of
        write_rows(tmp_path, ROWS, [*SALES, ("o5", "c2", "2026-01-03", f"{number}.00")])
        second = run(job, tmp_path)
    versions = sorted(path.name for path in (tmp_path / "output.versions").iterdir())
    found = forget(job, tmp_path, "zz-on")
    assert (found.removed, found.versions_removed, found.result.status) == ({}, 0, "nothing new")
    assert sorted(path.name for path in (tmp_path / "output.versions").iterdir()) == versions
    write_rows(tmp_path, [*ROWS, ("zz-on", "Zoe", "", "2026-01-01")])
    assert run(job, tmp_path).run_id != second.run_id
    assert found_in(tmp_path, "zz-on", clear=True) == []


def test_a_person_whom_only_an_earlier_version_has_is_forgotten(job: Job, tmp_path: Path) -> None:
    write_rows(tmp_path, ROWS, [*SALES, ("o7", "zz-one", "2026-01-02", "9.00")])
    run(job, tmp_path)
    write_rows(tmp_path, ROWS, SALES)
    run(job, tmp_path, full_refresh=True)
    found = forget(job, tmp_path, "zz-one")
    assert (found.removed, found.versions_removed) == ({}, 1)
    assert found_in(tmp_path, "zz-one", clear=True) == []


@pytest.mark.parametrize("who", ["zz-one", "zz-on"])
def test_a_person_whom_only_an_extract_has_that_no_version_needs_is_forgotten(
    who: str, job: Job, tmp_path: Path
) -> None:
    write_rows(tmp_path, ROWS, [*SALES, ("o7", "zz-one", "2026-01-02", "9.00")])
    run(job, tmp_path)
    for number in range(4):
        write_rows(tmp_path, ROWS, [*SALES, ("o5", "c2", "2026-01-03", f"{number}.00")])
        run(job, tmp_path)
    assert {path.split("/")[0] for path in found_in(tmp_path, "zz-one", clear=True)} == {"output.bronze"}
    found = forget(job, tmp_path, who)
    assert found.versions_removed == (2 if who == "zz-one" else 0)
    assert (found_in(tmp_path, "zz-one", clear=True) == []) == (who == "zz-one")


def test_what_a_record_does_not_tell_is_as_the_settings_say(job: Job, tmp_path: Path) -> None:
    """Records of earlier releases do not tell how values were hidden."""
    write_rows(tmp_path, MORE, MORE_SALES)
    hidden = {"name": "drop", "email": "drop"}
    before = run(job, tmp_path, personal=hidden)
    (record,) = (tmp_path / "output.versions").glob("*/run.json")
    told = json.loads(record.read_text())
    assert told.pop("personal") == hidden
    record.write_text(json.dumps(told))
    config = Config(ENGINE="polars", MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1)
    options = JobOptions(str(tmp_path / "nowhere"), str(tmp_path / "output"), personal=hidden)
    found = forget_people(job, config, options, ["zz-one"], NullProgress())
    assert read(found.result, "buyers")["name"].to_list() == [None] * len(read(before, "buyers"))


def test_a_check_that_stops_it_removes_nobody_and_says_how_to_go_on(job: Job, tmp_path: Path) -> None:
    text = JOB.replace("allowed=1.0", 'allowed="most"').replace(
        'matches("email", ".*"', 'matches("email", ".*marker.*"'
    )
    gated = write_job(tmp_path / "gated", text, most=0.34)
    zoe = ("zz-one", "Zoe Marker-Zoe", "zoe@marker-zoe.example", "2026-01-01")
    write_rows(tmp_path, [*ROWS[:2], zoe, ("c5", "", "x@example.org", "2026-01-01")],
               [*SALES, *(("o7", "zz-one", "2026-01-02", "9.00"), ("o9", "c5", "2026-01-02", "9.00"))])  # fmt: skip
    clear = {"email": "keep"}
    before = run(gated, tmp_path, personal=clear)
    assert (before.status, set(gated.sources)) == ("ok", set(job.sources))
    found = forget(gated, tmp_path, "zz-one", most=0.2)
    assert (found.removed, found.versions_removed, found.result.status) == ({}, 0, "failed")
    assert "Nobody is forgotten yet, and no run goes on before that is done: repeat" in str(found.result.error)
    assert found_in(tmp_path, "zz-one") != []
    with pytest.raises(InputError, match="people are being forgotten"):
        run(gated, tmp_path, personal=clear)
    assert forget(gated, tmp_path, most=1.0).removed == {"people": 1}
    assert found_in(tmp_path, "zz-one", clear=True) == []


def test_a_person_is_forgotten_whose_id_is_hidden_and_not_clear_any_more(job: Job, tmp_path: Path) -> None:
    hidden = JOB.replace('Text("who", forget="row")', 'Text("who", forget="row", sensitive="id")').replace(
        'Text("who", nullable=True, forget="value")', 'Text("who", nullable=True, forget="value", sensitive="id")'
    )
    secret = write_job(tmp_path / "secret", hidden)
    write_rows(tmp_path, MORE, MORE_SALES)
    run(secret, tmp_path)
    for clear in (tmp_path / "output.bronze").rglob("clear-*"):
        clear.unlink()
    assert set(secret.sources) == set(job.sources)
    assert found_in(tmp_path, hashed("zz-one")) != []
    forget(secret, tmp_path, "zz-one")
    assert found_in(tmp_path, hashed("zz-one"), *ZOE, clear=True) == []
