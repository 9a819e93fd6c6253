"""A job whose sources and tables lie on object storage: machines take turns, and publish the bytes of one disk."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from cli.progress import NullProgress
from config import Config
from pipeline.datasets.backup import back_up, restore
from pipeline.datasets.forget import forget_people
from pipeline.datasets.job import Job
from pipeline.datasets.plan import plan_job
from pipeline.datasets.result import JobResult
from pipeline.datasets.run import JobOptions
from pipeline.datasets.state import published_state
from pipeline.datasets.views import open_tables
from pipeline.errors import EnvironmentFault, InputError
from pipeline.privacy import KEY_VARIABLE
from pipeline.storage import reader, transfer
from pipeline.storage.objects import list_objects, read_object, write_object
from pipeline.storage.urls import ObjectUrl
from pipeline.versions import storage_output
from pipeline.versions.outputs import open_output, roll_back
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, files, run, write_job, write_sales
from tests.pipeline.datasets.test_personal_data import JOB as PERSONAL
from tests.pipeline.datasets.test_personal_data import KEY, write_rows

DAYS = [
    [("o1", "ann", "2026-01-01", "10.00"), ("o2", "dan", "2026-01-02", "0.50"), ("o9", "dan", "2026-13-01", "1")],
    [("o3", "ann", "2026-01-02", "7.25"), ("o4", "eve", "2026-01-03", "-1.00")],
    [("o5", "eve", "2026-01-03", "3.00")],
]


class Machine:
    """A machine that has the job's code, and nothing else that another one has."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        folder.mkdir()

    @contextmanager
    def here(self) -> Iterator[None]:
        with mock.patch.dict("os.environ", XDG_CACHE_HOME=str(self.folder / "cache")):
            (self.folder / "cache" / "logmill").mkdir(parents=True, exist_ok=True)
            yield

    def run(self, job: Job, **options: object) -> JobResult:
        asked = JobOptions(f"{self.url}/source", f"{self.url}/results/shop", **options)  # type: ignore[arg-type]
        with self.here():
            from pipeline.datasets.driver import run_job

            return run_job(job, Config(MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1), asked, NullProgress())


def put(folder: Path, url: str) -> None:
    """Write the source files of ``folder`` as objects."""
    for path in sorted((folder / "source").iterdir()):
        write_object(f"{url}/source/{path.name}", path)


def published(machine: Machine) -> dict[str, bytes]:
    """The Parquet objects of the version that the storage shows."""
    with machine.here():
        output = open_output(f"{machine.url}/results/shop")
        begin = f"{output.place_of(str(output.current()))}/data/"
        return {found.removeprefix(begin): read_object(found) for found in list_objects(begin) if "part-" in found}


def asked(machine: Machine, job: Job, sql: str) -> list[tuple[object, ...]]:
    with machine.here(), open_tables(job, f"{machine.url}/results/shop", 10**9, 1) as database:
        return database.execute(sql).fetchall()


@pytest.fixture
def machines(tmp_path: Path, bucket: str) -> tuple[Machine, Machine]:
    return Machine(tmp_path / "a", bucket), Machine(tmp_path / "b", bucket)


def test_machines_take_turns_and_publish_what_one_disk_has(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    job = write_job(tmp_path / "job")
    for day, rows in enumerate(DAYS):
        write_sales(tmp_path, rows, f"sales{day}.csv")
        put(tmp_path, bucket)
        result, on_disk = machines[day % 2].run(job), run(job, tmp_path)
        assert result.status == "ok"
        assert result.output == f"{bucket}/results/shop"
        assert published(machines[0]) == files(on_disk.output)
        assert result.sources["sales"].recomputed == on_disk.sources["sales"].recomputed
        assert result.tables["totals"].recomputed == on_disk.tables["totals"].recomputed
    assert machines[1].run(job).status == "nothing new"
    with machines[1].here():
        steps = plan_job(job, JobOptions(f"{bucket}/source", f"{bucket}/results/shop"))
    assert {step.work for step in steps} == {"keep"}


def test_days_of_other_machines_stay_in_a_job_that_publishes_by_day(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    job = write_job(tmp_path / "job", daily=True)
    for day, rows in enumerate(DAYS):
        write_sales(tmp_path, rows, f"sales{day}.csv")
        put(tmp_path, bucket)
        as_of = datetime(2026, 1, 4) + timedelta(days=min(day, 1))  # the last run makes the second day again
        machines[day % 2].run(job, as_of=as_of)
        on_disk = run(job, tmp_path, as_of=as_of)
        assert published(machines[0]) == files(on_disk.output)
    assert {name.partition("/")[0] for name in published(machines[1])} == {"2026-01-04", "2026-01-05", "silver"}


def test_rejected_rows_name_the_object_and_its_line(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    write_sales(tmp_path, DAYS[0])
    put(tmp_path, bucket)
    machines[0].run(write_job(tmp_path / "job"))
    (found,) = [url for url in list_objects(f"{bucket}/results/shop/") if "/quarantine/sales/" in url]
    row = pl.read_parquet(io.BytesIO(read_object(found))).row(0, named=True)
    assert (row["file"], row["line"], row["value"]) == ("sales.csv", 4, "2026-13-01")


@pytest.mark.parametrize("path", ["sales*", ""])
def test_objects_with_other_endings_are_skipped_and_listed(
    path: str, tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    write_sales(tmp_path, DAYS[1])
    for name in ("sales.csv.bak", "sales.csv.gz.part"):
        write_sales(tmp_path, DAYS[2], name)
    put(tmp_path, bucket)
    job = write_job(tmp_path / "job", HEAD.replace("sales*.csv", path) + LINES + TOTALS)
    result = machines[0].run(job)
    assert (result.sources["sales"].rows, list(result.skipped_files)) == (2, ["sales.csv.bak", "sales.csv.gz.part"])


def test_compressed_objects_and_parquet_are_sources(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    import gzip

    write_sales(tmp_path, DAYS[0])
    text = (tmp_path / "source" / "sales.csv").read_bytes()
    write_object(f"{bucket}/source/sales1.csv.gz", gzip.compress(text, mtime=0))
    job = write_job(tmp_path / "job", (HEAD + LINES + TOTALS).replace("sales*.csv", "sales1.csv.gz"))
    machines[0].run(job)
    assert asked(machines[0], job, "from totals order by customer") == [("ann", 1, 1000), ("dan", 1, 50)]
    rows = io.BytesIO()
    pl.read_csv(text, infer_schema=False).write_parquet(rows)
    write_object(f"{bucket}/source/sales.parquet", rows.getvalue())
    other = write_job(
        tmp_path / "other", (HEAD + LINES + TOTALS).replace('csv("sales*.csv"', 'parquet("sales.parquet"')
    )
    machines[1].run(other, full_refresh=True)
    assert asked(machines[1], other, "from totals order by customer") == [("ann", 1, 1000), ("dan", 1, 50)]


def test_a_missing_object_and_a_wrong_header_are_named_by_their_url(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    job = write_job(tmp_path / "job")
    with pytest.raises(InputError, match=f"there is no file '{bucket}/source/sales"):
        machines[0].run(job)
    write_object(f"{bucket}/source/sales.csv", b"order_id,day,amount\n")
    with pytest.raises(InputError, match=f"{bucket}/source/sales.csv: the header lacks customer"):
        machines[0].run(job)
    with machines[0].here(), pytest.raises(InputError, match="nothing is published at 's3://"):
        published_state(open_output(f"{bucket}/results/shop"))


def test_an_object_that_changes_while_it_is_read_stops_the_run(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, DAYS[0])
    put(tmp_path, bucket)
    stream_range = reader.stream_range

    def changed(url: ObjectUrl, start: int, stop: int) -> Iterator[bytes]:
        write_object(f"{bucket}/source/sales.csv", b"order_id,customer,day,amount\no1,ann,2026-01-01,1\n")
        return stream_range(url, start, stop)

    monkeypatch.setattr(transfer, "stream_range", changed)
    with pytest.raises(InputError, match=r"sales\.csv.*changed"):
        machines[0].run(write_job(tmp_path / "job"))


def test_who_was_overtaken_publishes_nothing(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sales(tmp_path, DAYS[0])
    put(tmp_path, bucket)
    job = write_job(tmp_path / "job")
    upload, overtaken = storage_output.StorageOutput._upload_history, []

    def late(self: storage_output.StorageOutput, *given: object) -> None:
        upload(self, *given)  # type: ignore[arg-type]
        if not overtaken:
            overtaken.append(True)
            with mock.patch.object(storage_output.StorageOutput, "locks", return_value=[]):
                machines[1].run(job)

    monkeypatch.setattr(storage_output.StorageOutput, "_upload_history", late)
    with pytest.raises(EnvironmentFault, match="another run"):
        machines[0].run(job)
    before = published(machines[1])
    write_sales(tmp_path, DAYS[1], "sales1.csv")
    put(tmp_path, bucket)
    assert machines[0].run(job).status == "ok"
    assert published(machines[1]) == files(run(job, tmp_path).output) != before


def test_a_version_before_is_shown_again_and_gone_on_from(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]
) -> None:
    job = write_job(tmp_path / "job")
    seen = []
    for day in range(2):
        write_sales(tmp_path, DAYS[day], f"sales{day}.csv")
        put(tmp_path, bucket)
        machines[0].run(job)
        seen.append(published(machines[0]))
    with machines[1].here():
        roll_back(f"{bucket}/results/shop", None)
    assert published(machines[0]) == seen[0]
    assert machines[0].run(job).status == "ok"
    assert published(machines[0]) == seen[1]


def test_forgotten_people_leave_every_object(
    tmp_path: Path, bucket: str, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    job = write_job(tmp_path / "job", PERSONAL)
    write_rows(tmp_path)
    put(tmp_path, bucket)
    machines[0].run(job)
    assert not any(b"Marker" in read_object(url) for url in list_objects(f"{bucket}/results/"))
    with machines[1].here():
        options = JobOptions(f"{bucket}/source", f"{bucket}/results/shop")
        found = forget_people(job, Config(MEMORY_LIMIT=10**9, PREPROCESSING_WORKERS=1), options, ["c1"], NullProgress())
    assert found.removed == {"people": 1}
    assert found.versions_removed == 1
    frames = [
        pl.read_parquet(io.BytesIO(read_object(url)))
        for url in list_objects(f"{bucket}/results/")
        if url.endswith(".parquet")
    ]
    assert frames
    assert not any("c1" in row for frame in frames for row in frame.rows())
    machines[0].run(job, full_refresh=True)  # the source has the person still, and this machine did not forget it
    assert asked(machines[0], job, "select customer from buyers order by 1") == [("c2",), (None,)]


def test_a_backup_is_restored_to_a_storage(tmp_path: Path, bucket: str, machines: tuple[Machine, Machine]) -> None:
    job = write_job(tmp_path / "job")
    write_sales(tmp_path, DAYS[0])
    put(tmp_path, bucket)
    first = run(job, tmp_path)
    saved = back_up(open_output(first.output), None, f"{bucket}/backups")
    with machines[0].here():
        assert restore(open_output(f"{bucket}/results/shop"), None, f"{bucket}/backups").version == saved.version
    assert published(machines[1]) == files(first.output)
    assert machines[1].run(job).tables["totals"].recomputed == 0
