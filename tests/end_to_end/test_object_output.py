"""A result on object storage: published by creating a number once, read as on a disk, gone on from on any machine."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from config import load_config
from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.inspection.query import ask
from pipeline.machine import cache_folder
from pipeline.planning.run_options import NO_OPTIONS, RunOptions
from pipeline.publish.result import RunResult
from pipeline.storage.objects import list_objects, read_object, write_object
from pipeline.versions import storage_output
from pipeline.versions.outputs import roll_back
from pipeline.versions.storage_output import StorageOutput
from pipeline.versions.storage_pointer import LOST
from tests.end_to_end.days import write_day
from tests.end_to_end.program import published, run, run_json
from tests.harness import run_here
from tests.storage_servers import answer_with, found_at, odd_server

Rows = list[tuple[object, ...]]
_RESULT = "SELECT geo_region::VARCHAR, user_id, total_watch_time_min, event_count FROM watch_time"


class Machine:
    """A machine of its own: nothing on its disk is that of another one, but the logs."""

    def __init__(self, folder: Path, logs: Path, output: str) -> None:
        self.folder, self.logs, self.output = folder, logs, output
        (folder / "home").mkdir(parents=True)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Work with the cache of this machine; what is slow to make is that of the tests."""
        usual, own = cache_folder(), self.folder / "home" / "logmill"
        own.mkdir(exist_ok=True)
        for path in usual.iterdir() if usual.is_dir() else ():
            if path.name != "outputs" and not (own / path.name).exists():
                (own / path.name).symlink_to(path)
        with mock.patch.dict("os.environ", XDG_CACHE_HOME=str(self.folder / "home")):
            yield

    def run(self, options: RunOptions = NO_OPTIONS, **settings: object) -> RunResult:
        with self.here():
            return run_here(self.folder, self.logs, options, OUTPUT_DIR=self.output, **settings)

    def rows(
        self, sql: str = "SELECT geo_region::VARCHAR, user_id, total_watch_time_min, event_count FROM watch_time"
    ) -> Rows:
        with self.here():
            config = load_config({"OUTPUT_DIR": self.output, "QUERY_ROWS": 100_000}, {}, None)
            return sorted(tuple(row) for row in ask(config, sql).rows)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(2):
        write_day(folder / f"{number}.csv", random.Random(number))
    return folder


@pytest.fixture
def machine(bucket: str, logs: Path, tmp_path: Path) -> Callable[[str], Machine]:
    return lambda name: Machine(tmp_path / name, logs, f"{bucket}/results/daily")


def on_disk(logs: Path, folder: Path) -> Rows:
    """What a run over all logs publishes on a disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run_here(folder, logs)
    return published(folder)


def read_by_polars(output: str) -> tuple[str, Rows]:
    """(version, rows) as a reader finds them who knows the protocol and not this program."""
    entries = sorted(url for url in list_objects(f"{output}/versions/"))
    version = json.loads(read_object(entries[-1]))["version"]
    files = [url for url in list_objects(f"{output}/runs/{version}/data/") if url.endswith(".parquet")]
    rows: Rows = []
    for url in files:
        region = url.split("geo_region=")[1].split("/")[0].replace("%20", " ")
        rows += [(region, *row) for row in pl.read_parquet(read_object(url)).rows()]
    return version, sorted(rows)


def test_the_result_is_that_of_a_disk(machine: Callable[[str], Machine], logs: Path, tmp_path: Path) -> None:
    first = machine("one")
    result = first.run()
    assert result.status == "ok"
    assert (result.output, result.report) == (first.output, f"{first.output}/runs/{result.version}/report.html")
    expected = on_disk(logs, tmp_path / "disk")
    assert first.rows() == expected
    assert read_by_polars(first.output) == (result.version, expected)
    assert json.loads(read_object(f"{first.output}/latest.json"))["version"] == result.version


def test_a_run_on_another_machine_goes_on_from_it(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path
) -> None:
    machine("one").run()
    write_day(logs / "2.csv", random.Random(2))
    second = machine("two")
    result = second.run()
    assert (result.new.files, result.new.reused_files) == (1, 2)
    assert second.rows() == on_disk(logs, tmp_path / "disk")
    write_day(logs / "3.csv", random.Random(3))
    third = machine("three")
    result = third.run()
    assert (result.new.files, result.new.reused_files) == (1, 3)
    assert third.rows() == on_disk(logs, tmp_path / "disk")
    assert len(third.rows("SELECT version FROM runs")) == 3


def test_machines_that_take_turns_see_what_the_other_one_published(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path
) -> None:
    machines = [machine("one"), machine("two")]
    for number in range(2, 6):
        result = machines[number % 2].run()
        assert result.new.files == (2 if number == 2 else 1)
        write_day(logs / f"{number}.csv", random.Random(number))
    assert machines[0].run().new.files == 1
    assert machines[1].rows() == on_disk(logs, tmp_path / "disk")


def test_a_run_that_finds_nothing_new_publishes_nothing(machine: Callable[[str], Machine]) -> None:
    one = machine("one")
    version = one.run().version
    for again in one, machine("two"):
        result = again.run()
        assert (result.publication, result.version) == ("unchanged", version)
    assert len(list(list_objects(f"{one.output}/versions/"))) == 1


def test_of_two_runs_at_once_the_second_loses_and_changes_nothing(
    machine: Callable[[str], Machine], logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine("one"), machine("two")
    one.run()
    write_day(logs / "2.csv", random.Random(2))
    upload = StorageOutput._upload_history

    def stand_still(self: StorageOutput, *rest: object) -> None:
        """The first run has done all but publish; its lock has run out, and another machine publishes."""
        monkeypatch.setattr(StorageOutput, "_upload_history", upload)
        monkeypatch.setattr(storage_output, "StorageLease", NoLease)
        two.run()
        upload(self, *rest)

    monkeypatch.setattr(StorageOutput, "_upload_history", stand_still)
    with pytest.raises(EnvironmentFault, match=LOST.partition(".")[0]):
        one.run()
    version, rows = read_by_polars(one.output)
    assert version == two.run().version
    assert one.run().publication == "unchanged"  # it goes on from what the other one published
    assert one.rows() == rows


class NoLease:
    """Locks nothing."""

    number = 0

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> "NoLease":
        return self

    def __exit__(self, *_: object) -> None: ...

    def confirm(self) -> None: ...


def test_a_run_that_is_killed_before_it_publishes_leaves_the_version_before(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path
) -> None:
    one = machine("one")
    before = one.run().version
    write_day(logs / "2.csv", random.Random(2))
    for place in ("publish.upload", "publish.link", "publish.link.done"):

        def die(name: str, place: str = place) -> None:
            if name == place:
                raise KeyboardInterrupt

        with mock.patch.object(storage_output, "point", die), pytest.raises(KeyboardInterrupt):
            one.run()
        version, rows = read_by_polars(one.output)
        assert (version == before) == (place != "publish.link.done")
        assert rows == one.rows()
    assert one.run().publication == "unchanged"
    assert machine("two").run().publication == "unchanged"
    assert one.rows() == on_disk(logs, tmp_path / "disk")


def test_an_earlier_version_is_shown_again_and_runs_go_on_from_it(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path
) -> None:
    one, two = machine("one"), machine("two")
    first = one.run().version
    rows = one.rows()
    write_day(logs / "2.csv", random.Random(2))
    second = one.run().version
    with two.here():
        assert roll_back(two.output, None) == (second, first)
        with pytest.raises(InputError, match="there is no version before"):
            roll_back(two.output, None)
        with pytest.raises(InputError, match="there is no version '20200101T000000Z-000000'"):
            roll_back(two.output, "20200101T000000Z-000000")
    assert read_by_polars(one.output) == (first, rows)
    assert one.rows() == rows
    assert two.run().new.files == 1
    assert two.rows() == on_disk(logs, tmp_path / "disk")


def test_old_versions_go_after_their_time_and_not_before(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = machine("one")
    names = []
    for number in range(2, 5):
        names.append(one.run(KEEP_VERSIONS=1).version)
        write_day(logs / f"{number}.csv", random.Random(number))
    kept = {url.split("/runs/")[1].split("/")[0] for url in list_objects(f"{one.output}/runs/")}
    assert kept == set(names), "each of them was shown less than an hour ago"
    write_object(f"{one.output}/runs/20200101T000000Z-000000/data/left", b"by a run that was killed")
    monkeypatch.setattr(storage_output, "GRACE_SECONDS", -1.0)
    last = one.run(KEEP_VERSIONS=1).version
    kept = {url.split("/runs/")[1].split("/")[0] for url in list_objects(f"{one.output}/runs/")}
    assert kept == {last}
    assert len(list(list_objects(f"{one.output}/versions/"))) == 1
    held = {url.removeprefix(f"{one.output}/") for url in list_objects(f"{one.output}/history/")}
    listed = json.loads(read_object(f"{one.output}/runs/{last}/history.json")).values()
    assert held == {kept["object"] for kept in listed}
    two = machine("two")
    assert two.run(KEEP_VERSIONS=1).publication == "unchanged"
    assert two.rows() == on_disk(logs, tmp_path / "disk")


def test_a_storage_that_ignores_the_condition_of_creation_is_refused(
    bucket: str, machine: Callable[[str], Machine], s3_in_memory: str
) -> None:
    from urllib.request import Request, urlopen

    def forget_condition(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {
            name: value for name, value in handler.headers.items() if name.lower() not in ("if-none-match", "host")
        }
        request = Request(s3_in_memory + handler.path, body or None, headers, method=handler.command)
        try:
            with urlopen(request, timeout=30) as answer:
                status, found, data = answer.status, answer.headers, answer.read()
        except OSError as fault:
            status, found, data = fault.code, fault.headers, fault.read()  # type: ignore[attr-defined]
        del handler.headers["Content-Length"]
        names = "ETag", "Last-Modified", "Content-Type"
        answer_with(handler, status, data, **{name.replace("-", "_"): found[name] for name in names if found[name]})

    with odd_server(forget_condition) as endpoint, found_at(endpoint):
        told = "cannot publish safely: it let a second process create an object that existed"
        with pytest.raises(EnvironmentFault, match=told) as found:
            machine("one").run()
    assert found.value.exit_code == 5
    assert not list(list_objects(f"{bucket}/"))


def test_corrected_records_count_on_other_machines(
    machine: Callable[[str], Machine], logs: Path, tmp_path: Path
) -> None:
    one = machine("one")
    one.run()
    write_day(tmp_path / "mend.csv", random.Random(77), rows=20)
    one.run(RunOptions(replay=(str(tmp_path / "mend.csv"),)))
    write_day(logs / "2.csv", random.Random(2))
    shutil.rmtree(one.folder)  # on another machine, its files are not there
    two = machine("two")
    assert two.run().new.files == 1
    (tmp_path / "mend.csv").rename(logs / "mend.csv")
    assert two.rows() == on_disk(logs, tmp_path / "disk")


def test_quarantines_go_by_age(machine: Callable[[str], Machine], logs: Path) -> None:
    (logs / "damaged.csv").write_bytes((logs / "0.csv").read_bytes() + b"a,b\n")
    one = machine("one")
    first = one.run().version
    assert list(list_objects(f"{one.output}/runs/{first}/quarantine/"))
    write_day(logs / "2.csv", random.Random(2))
    with mock.patch("pipeline.history.place.time.time", return_value=4e9):
        one.run(QUARANTINE_RETENTION_DAYS=30)
    assert not list(list_objects(f"{one.output}/runs/{first}/quarantine/"))


def test_the_program_publishes_and_asks(machine: Callable[[str], Machine], logs: Path, tmp_path: Path) -> None:
    output = machine("one").output
    answer = run_json("--input", logs, "--output", output, cwd=tmp_path)
    version = answer["version"]
    ended = run("path", "--output", output, cwd=tmp_path)
    assert ended.out == f"{output}/runs/{version}/data\n"
    states = json.loads(run("status", "--output", output, "--json", cwd=tmp_path).out)
    assert [state["version"] for state in states["versions"]] == [version]
    assert {state["state"] for state in states["files"]} == {"counted"}
    ended = run("query", "SELECT count(*) AS n FROM watch_time", "--output", output, "--json", cwd=tmp_path)
    asked = json.loads(ended.out)
    assert asked["rows"] == [{"n": answer["output_rows"]}]
    assert run_json("--input", logs, "--output", output, cwd=tmp_path)["publication"] == "unchanged"
    ended = run("rollback", "--output", output, cwd=tmp_path)
    assert (ended.code, "there is no version before" in ended.err) == (3, True)


def test_what_cannot_be_an_output_is_told(bucket: str, machine: Callable[[str], Machine], tmp_path: Path) -> None:
    one = machine("one")
    with pytest.raises(ConfigError, match="a Delta table needs an output on a disk"):
        one.run(TABLE_FORMAT="delta")
    with pytest.raises(ConfigError, match="overlap"):
        load_config({"INPUT_DIR": f"{bucket}/a/**/*.csv", "OUTPUT_DIR": f"{bucket}/a/out"}, {}, None)
    with pytest.raises(ConfigError, match="expected a path, or a URL that begins with s3://, gs://, az://"):
        load_config({"OUTPUT_DIR": "hdfs://a/b"}, {}, None)
    with pytest.raises(InputError, match="nothing is published at"), one.here():
        ask(load_config({"OUTPUT_DIR": one.output}, {}, None), "SELECT 1")
    with pytest.raises(EnvironmentFault, match="there is no such bucket"):
        Machine(tmp_path / "lost", one.logs, f"{bucket}-other/x").run()
    assert not (tmp_path / "lost" / "pipeline_data" / "output").exists()
