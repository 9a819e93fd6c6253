"""Backups: what comes back is what was copied, or a file is named and nothing is shown."""

import json
from pathlib import Path

import pytest

from pipeline.datasets.backup import Backup, back_up, restore
from pipeline.datasets.job import Job
from pipeline.datasets.result import JobResult
from pipeline.errors import ConfigError, InputError
from pipeline.sources.forgotten import remember
from pipeline.storage.objects import delete_objects
from pipeline.versions.output_link import Output
from tests.pipeline.datasets.jobs_for_tests import files, read, run, write_job, write_sales


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", "10.00"), ("o2", "dan", "2026-01-02", "-1.00")])
    return write_job(tmp_path / "job")


@pytest.fixture
def result(job: Job, tmp_path: Path) -> JobResult:
    return run(job, tmp_path)


def saved(result: JobResult, place: object) -> Backup:
    return back_up(Output(result.output), None, str(place))


def test_a_version_comes_back_from_a_storage_and_the_next_run_goes_on_from_it(
    job: Job, result: JobResult, tmp_path: Path, bucket: str
) -> None:
    made = saved(result, f"{bucket}/backups")
    other = str(tmp_path / "restored" / "output")
    assert restore(Output(other), None, f"{bucket}/backups").version == made.version == result.run_id
    assert files(other) == files(result.output)
    assert run(job, tmp_path, output=other).status == "nothing new"
    write_sales(tmp_path, [("o3", "eve", "2026-01-03", "1.00")], "sales2.csv")
    assert read(run(job, tmp_path, output=other), "totals")["customer"].to_list() == ["ann", "eve"]
    delete_objects([f"{made.place}/version/run.json"])
    with pytest.raises(InputError, match=r"is damaged, and nothing was restored: .*run\.json is missing"):
        restore(Output(str(tmp_path / "third")), None, f"{bucket}/backups")


def test_a_removed_version_comes_back_to_its_output(job: Job, result: JobResult, tmp_path: Path) -> None:
    before = files(result.output)
    saved(result, tmp_path / "backups")
    with pytest.raises(InputError, match=r"is there still\. The action rollback shows it"):
        restore(Output(result.output), None, str(tmp_path / "backups"))
    write_sales(tmp_path, [("o1", "joe", "2026-01-01", "10.00")])
    run(job, tmp_path, keep=1)
    assert restore(Output(result.output), result.run_id, str(tmp_path / "backups")).note == ""
    assert files(result.output) == before
    with pytest.raises(InputError, match="there is a backup of"):
        saved(result, tmp_path / "backups")


def test_people_who_were_forgotten_since_are_to_be_forgotten_again(job: Job, result: JobResult, tmp_path: Path) -> None:
    saved(result, tmp_path / "backups")
    write_sales(tmp_path, [("o1", "joe", "2026-01-01", "10.00")])
    run(job, tmp_path, keep=1)
    remember(tmp_path / "output.bronze", ["ann"])
    assert "people were forgotten" in restore(Output(result.output), result.run_id, str(tmp_path / "backups")).note
    with pytest.raises(InputError, match="people are being forgotten"):
        run(job, tmp_path)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ('{"files": {"version/../../../x": {"bytes": 1, "sha256": ""}}}', r"names a file outside the backup"),
        ("{", r"backup\.json' is damaged"),
        (None, r"there is no backup at .*expected backup\.json"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    manifest: str | None, message: str, result: JobResult, tmp_path: Path
) -> None:
    made = saved(result, tmp_path / "backups")
    path = Path(made.place) / "backup.json"
    assert len(json.loads(path.read_text())["files"]) == made.files
    if manifest is None:
        path.unlink()
    else:
        path.write_text(manifest)
    with pytest.raises((InputError, ConfigError), match=message):
        restore(Output(str(tmp_path / "third")), None, str(tmp_path / "backups"))
    with pytest.raises(InputError, match="expected folders that are called as versions"):
        restore(Output(str(tmp_path / "third")), None, str(tmp_path / "nowhere"))
