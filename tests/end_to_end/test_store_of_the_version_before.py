"""What an earlier version of the program left is gone on from without reading a log again, however the code has moved.

The stores were made by ``scripts/make_store_fixture.py``, which says when that may be done anew. Nothing here knows how
the program is built: it is a command line, and files that others read.
"""

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.exchange.row_files import GROUPS_KEY
from scripts.make_store_fixture import CONTESTED, OPTIONS, SECOND_DAY, SETTINGS, make_day, unpack, write_log
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import JSON_KEYS, environment, published, read_result

ADDED = frozenset(
    {"report", "quarantine", "publication", "plan.learned", "new.resumed_splits", "start_seconds"}
    | {f"settings.SPARK_{name}" for name in ("EXECUTORS", "EXECUTOR_CORES", "EXECUTOR_PYTHON", "PYTHON_MEMORY")}
)
"""Names in ``run.json`` that came after the stores were made, as ``names_in`` tells them: ``settings.NEW_ONE``."""
OF_THE_RUN = {
    "run_id", "version", "publication", "report", "quarantine", "notes",
    "seconds", "start_seconds", "peak_memory_bytes", "throughput_bytes_per_second", "new", "plan", "profile",
}  # fmt: skip
"""What every run says otherwise in its answer and in ``run.json``."""
THIRD_DAY = "2026-01-03.csv"
RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class Store:
    """A folder with logs and what came of them; ``name`` tells the settings of its runs."""

    name: str
    place: Path

    @property
    def env(self) -> dict[str, str]:
        return environment(**SETTINGS[self.name])

    @property
    def logs(self) -> list[Path]:
        return sorted((self.place / "logs").iterdir())

    @property
    def versions(self) -> list[Path]:
        """The kept ones, the oldest first."""
        folders = (self.place / "pipeline_data" / "output.versions").glob("2*")
        return sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)

    @property
    def current(self) -> Path:
        return (self.place / "pipeline_data" / "output").resolve().parent

    def take(self, logs: Sequence[Path]) -> None:
        """Copy logs to where the program looks for them."""
        (self.place / "logs").mkdir(parents=True, exist_ok=True)
        for path in logs:
            shutil.copy2(path, self.place / "logs")

    def run(self) -> dict:
        return command_json(*OPTIONS, cwd=self.place, env=self.env)

    def ask(self, *arguments: object) -> dict:
        """The answer of a command that gives JSON, as ``anonymous``."""
        ended = command(*arguments, cwd=self.place, env=self.env)
        assert ended.code == 0, ended.err
        return json.loads(self.anonymous(ended.out))

    def select(self, sql: str) -> list[tuple]:
        """Rows of the manifest, texts as ``anonymous``."""
        database = sqlite3.connect(self.place / "pipeline_data" / "intermediate" / "manifest.sqlite")
        rows = database.execute(sql).fetchall()
        database.close()
        return [tuple(self.anonymous(value) if isinstance(value, str) else value for value in row) for row in rows]

    def files(self) -> dict[str, Path]:
        """All that later runs, questions and readers need, by the ``anonymous`` name."""
        folder = self.place / "pipeline_data"
        kept = (path for part in ("store/*", "run-*/totals", "run-*/conflicts") for path in folder.glob(f"*/{part}/*"))
        published = (path for path in folder.glob("output.versions/2*/**/*") if path.name != "report.html")
        return {self.anonymous(str(path.relative_to(folder))): path for path in (*kept, *published) if path.is_file()}

    def anonymous(self, text: str) -> str:
        """With the number of a version for its name, and without this place."""
        text = text.replace(os.path.realpath(self.place), "")
        numbers = {version.name: f"version {number}" for number, version in enumerate(self.versions, 1)}
        return RUN_ID.sub(lambda found: numbers.get(found[0], found[0]), text)


Pair = tuple[Store, Store]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def result_of(answer: dict) -> dict:
    """What a run says of its result, and not of itself."""
    return {name: value for name, value in answer.items() if name not in OF_THE_RUN}


def answered(version: Path) -> dict:
    """What the run that made a version said of its result."""
    record = read_json(version / "run.json")
    return result_of({name: record[name] for name in JSON_KEYS if name in record})


def names_in(value: object, place: str = "") -> Iterator[str]:
    """The names of all that JSON holds: ``seconds.total``, ``ledger[].file``."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"{place}{name}"
            yield from names_in(part, f"{place}{name}.")
    elif isinstance(value, list):
        for part in value:
            yield from names_in(part, f"{place.removesuffix('.')}[].")


def geo_of(version: Path) -> dict:
    """``geo.json`` without the places where the table lay."""
    geo = read_json(version / "geo.json")
    assert geo["source"].pop("compiled")
    assert geo["source"].pop("prepared")
    return geo


@pytest.fixture(scope="module", params=SETTINGS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A store of the version before, and what this version makes of the same logs in as many runs; no test changes
    them."""
    before, now = (Store(request.param, tmp_path_factory.mktemp(name)) for name in ("before", "now"))
    unpack(before.name, before.place)
    now.take([path for path in before.logs if path.name != SECOND_DAY])
    now.run()
    now.take(before.logs)
    now.run()
    return before, now


@pytest.fixture
def store(pair: Pair, tmp_path: Path) -> Store:
    """A store of the version before, to go on from."""
    unpack(pair[0].name, tmp_path)
    return Store(pair[0].name, tmp_path)


def test_the_same_input_is_not_read_again_and_makes_no_new_version(store: Store) -> None:
    result, rows, versions = answered(store.current), published(store.place), store.versions
    splits = sum(entry["splits"] for entry in read_json(store.current / "run.json")["ledger"])
    dry = command(*OPTIONS, "--dry-run", cwd=store.place, env=store.env)
    assert (dry.code, dry.out.splitlines()[-3:]) == (0, ["4 reuse", "", "engine: polars"]), dry.err
    for _ in range(2):  # the second one knows the files by their times
        answer = store.run()
        assert result_of(answer) == result
        assert (answer["new"]["reused_files"], answer["new"]["reused_splits"]) == (4, splits)
        assert not any(value for name, value in answer["new"].items() if not name.startswith("reused"))
        assert store.versions == versions or ADDED
        assert published(store.place) == rows


@pytest.fixture(scope="module")
def whole(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What comes of three days in one run."""
    made = Store(pair[0].name, tmp_path_factory.mktemp("whole"))
    made.take(pair[0].logs)
    write_log(made.place / "logs" / THIRD_DAY, make_day(seed=4, rows=60, day=3))
    made.run()
    return made


@pytest.mark.parametrize("logs", ["there", "gone"])
def test_of_a_further_day_only_that_day_is_read(store: Store, whole: Store, logs: str) -> None:
    """Also where the logs of the days before have left; and of the rows only its own are added up."""
    if logs == "gone":
        for path in store.logs:
            path.unlink()
    store.take([whole.place / "logs" / THIRD_DAY])
    ended = command(*OPTIONS, "--json", "--log-format", "json", cwd=store.place, env=store.env)
    answer, events = ended.answer, [json.loads(line) for line in ended.err.splitlines()]
    new, day = answer["new"], read_json(store.current / "run.json")["ledger"][-1]
    assert (new["files"], new["records_read"], new["bytes_read"]) == (1, 60, day["bytes"])
    phases = {event["phase"]: event["total"] for event in events if event["event"] == "phase_started"}
    assert phases == {"phase 1": day["bytes"], "phase 2": day["handed_over"]}
    assert (new["reused_files"], new["missing_files"]) == ((4, 0) if logs == "there" else (0, 4))
    assert result_of(answer) == answered(whole.current)
    rows = published(store.place)
    assert rows == published(whole.place)
    rejected = [pq.read_table(made.current / "quarantine" / "rejected.parquet") for made in (store, whole)]
    assert rejected[0].equals(rejected[1])
    assert len(store.versions) == 3
    for user in (rows[0][1], rows[-1][1]):
        assert store.ask("explain", "--user", user, "--json")["agrees"]


def test_questions_are_answered_as_they_are_about_a_store_of_today(pair: Pair) -> None:
    users = [user for _, user, *_ in published(pair[0].place)]
    for question in (
        ("status", "--json"),
        ("explain", CONTESTED, "--json"),
        ("explain", "quoted", "--json"),
        ("explain", "--user", users[0], "--json"),
        ("query", "from watch_time order by all", "--format", "json"),
        ("query", "from quarantine order by all", "--format", "json"),
        ("query", "from ledger order by all", "--format", "json"),
        ("query", "select kept, version, records_read, is_current from runs order by all", "--format", "json"),
    ):
        before, now = (store.ask(*question) for store in pair)
        assert before
        for version in (version for answer in (before, now) if "versions" in answer for version in answer["versions"]):
            assert version.pop("started")
        assert before == now


def test_every_copy_of_a_record_with_conflicts_is_found(pair: Pair) -> None:
    answer, plain = pair[0].ask("explain", CONTESTED, "--json"), pair[0].name == "defaults"
    assert len(answer["rejected"]) == plain, "without raw bytes it cannot be found"
    assert all(copy["line"] and bool(copy["raw"]) == plain for copy in answer["copies"])
    longest, last = ("counts", "conflict") if plain else ("conflict", "counts")
    assert sorted((copy["minutes"], copy["outcome"]) for copy in answer["copies"]) == [
        (5, "conflict"),
        (10, "conflict"),
        (10, "duplicate"),
        (30, last),
        (40, longest),
        (40, "duplicate"),
    ]


def test_the_geo_table_is_known_though_it_lies_elsewhere(pair: Pair) -> None:
    answer = pair[0].ask("geo-diff", "--json")
    assert (answer["examined_files"], answer["moved_events"], answer["not_examined"]) == (4, 0, [])


def test_a_run_goes_on_after_a_rollback(store: Store) -> None:
    (first, second), rows = store.versions, published(store.place)
    answer = store.ask("rollback", "--json")
    assert (answer["before"], answer["current"]) == ("version 2", "version 1")
    assert published(store.place) == read_result(first / "data") != rows
    versions = store.ask("status", "--json")["versions"]
    assert [(version["current"], version["files"]) for version in versions] == [(True, 3), (False, 4)]
    answer = store.run()
    assert (answer["new"]["files"], answer["new"]["records_read"], answer["new"]["reused_files"]) == (0, 0, 4)
    assert result_of(answer) == answered(second)
    assert published(store.place) == rows


def test_the_manifest_is_written_as_before(pair: Pair) -> None:
    """Its tables and columns, and in them the fingerprint of all settings, headers and counts."""
    for sql in (
        "pragma user_version",
        "select name, type, tbl_name, sql from sqlite_schema",
        "select id, fingerprint, shown, content_hash, text_size, header from files",
        "select id, json_array_length(hint), typeof(path), typeof(read_at) from files",
        "select number, file, start, stop, exact, result from splits",
        "select name, base, published, json_array_length(sources) from versions",
        "select version, file from counted",
    ):
        before, now = (sorted(store.select(sql)) for store in pair)
        assert before
        assert before == now


def test_no_setting_that_was_not_changed_has_another_fingerprint(tmp_path: Path) -> None:
    """Else whoever has never set anything would have to read everything again."""
    before, now = Store("defaults", tmp_path / "before"), Store("defaults", tmp_path / "now")
    unpack(before.name, before.place)
    now.take(before.logs[:1])
    command_json("--input", "logs", cwd=now.place)
    ((fingerprint,),) = before.select("select distinct fingerprint from files")
    assert now.select("select fingerprint from files") == [(fingerprint,)]


def test_files_are_written_as_before(pair: Pair) -> None:
    """Those of the store, what the next run adds to, results and quarantines: names, columns, metadata and contents."""
    before, now = (store.files() for store in pair)
    assert before.keys() == now.keys()
    assert {name.split("/")[2] for name in before if "/store/" in name} == {"rows", "index", "rejects", "lines"}
    for name, path in before.items():
        if name.endswith(".npy"):
            arrays = np.load(path), np.load(now[name])
            assert arrays[0].dtype == arrays[1].dtype, name
            assert np.array_equal(*arrays), name
        elif name.endswith(".parquet"):
            with pq.ParquetFile(path) as old, pq.ParquetFile(now[name]) as new:
                schema = new.schema_arrow
                if metadata := schema.metadata:  # where row groups begin was not written down before
                    schema = schema.with_metadata({k: v for k, v in metadata.items() if k != GROUPS_KEY})
                assert old.schema_arrow.equals(schema, check_metadata=True), name
                names = (new.metadata.metadata or {}).keys() - {GROUPS_KEY}
                assert (old.metadata.metadata or {}).keys() == names, name
                tables = old.read(), new.read()
                if "/store/" not in name:  # users of a region are in no order
                    tables = tuple(table.sort_by([(at, "ascending") for at in table.column_names]) for table in tables)
                assert tables[0].equals(tables[1]), name


def test_records_of_runs_are_written_as_before(pair: Pair) -> None:
    for before, now in zip(*(store.versions for store in pair), strict=True):
        old, new = read_json(before / "run.json"), read_json(now / "run.json")
        assert set(names_in(new)) - ADDED == set(names_in(old))
        assert old["settings"] == {name: new["settings"][name] for name in old["settings"]}
        assert result_of(old) | {"settings": {}} == result_of(new) | {"settings": {}}
        assert geo_of(before) == geo_of(now)
