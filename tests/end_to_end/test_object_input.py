"""Logs on object storage give what the same logs give on a disk: result, quarantine and counts."""

import gzip
import random
from pathlib import Path

import polars as pl
import pytest
from backports import zstd
from polars.testing import assert_frame_equal

from pipeline.errors import InputError
from pipeline.preprocess import preprocessor
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import delete_objects, write_object
from tests.end_to_end.days import write_day
from tests.end_to_end.program import published, run_json
from tests.harness import HEADER, run_here

COUNTS = (
    "status", "files", "bytes_read", "records_read", "kept", "duplicates", "conflicts", "rejected_by_reason",
    "blank_lines", "users", "output_rows", "total_micro_minutes", "top_regions", "new",
)  # fmt: skip


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of all kinds: plain, compressed, with damage, without records, and one that is none."""
    folder = tmp_path_factory.mktemp("objects") / "logs"
    folder.mkdir()
    for number in range(4):
        write_day(folder / f"{number}.csv", random.Random(number), rows=800, ids=2000)
    plain = (folder / "0.csv").read_bytes()
    (folder / "damaged.csv").write_bytes(plain[: len(plain) // 2] + b'e9,"u\n,,\n\x00\xff\n' + plain[len(plain) // 2 :])
    (folder / "1.csv.gz").write_bytes(gzip.compress((folder / "1.csv").read_bytes()))
    (folder / "1.csv").unlink()
    (folder / "2.csv.zst").write_bytes(zstd.compress((folder / "2.csv").read_bytes()))
    (folder / "2.csv").unlink()
    (folder / "empty.csv").write_bytes(HEADER)
    (folder / "none.csv").write_bytes(b"a,b\n1,2\n")
    (folder / "cut.csv.gz").write_bytes(gzip.compress(plain)[:1000])
    (folder / "notes.txt").write_bytes(b"none of the logs")
    return folder


@pytest.fixture
def stored(logs: Path, bucket: str) -> str:
    for path in logs.iterdir():
        write_object(f"{bucket}/in/{path.name}", path)
    return f"{bucket}/in"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "disk").mkdir()
    (tmp_path / "objects").mkdir()
    return tmp_path / "disk", tmp_path / "objects"


def quarantine(folder: Path) -> pl.DataFrame:
    found = pl.read_parquet(folder / "pipeline_data/output/../quarantine/*.parquet")
    names = pl.col("file").str.replace(r"^.*/", "")
    return found.with_columns(names).sort("file", "byte_offset", "reason")


@pytest.mark.parametrize("settings", [{}, {"SPLIT_BYTES": 9_000, "CHUNK_BYTES": 2_000}, {"DEDUPE_KEEP": "first"}])
def test_the_published_version_is_the_same(
    logs: Path, stored: str, folders: tuple[Path, Path], settings: dict[str, object]
) -> None:
    disk, objects = folders
    one, other = run_here(disk, logs, **settings), run_here(objects, stored, **settings)
    assert published(objects) == published(disk)
    assert_frame_equal(quarantine(objects), quarantine(disk))
    assert {name: getattr(other, name) for name in COUNTS} == {name: getattr(one, name) for name in COUNTS}
    assert [Path(path).name for path in other.skipped_files] == ["notes.txt"]
    refused = [{Path(found.file).name: found.reason for found in result.refused_files} for result in (one, other)]
    assert refused[0] == refused[1]
    assert set(refused[0]) == {"none.csv", "cut.csv.gz"}


def test_the_next_run_reads_only_what_is_new(stored: str, tmp_path: Path) -> None:
    delete_objects([f"{stored}/none.csv", f"{stored}/cut.csv.gz"])
    run_here(tmp_path, f"{stored}/*.csv*")
    write_day(tmp_path / "more.csv", random.Random(9))
    write_object(f"{stored}/more.csv", tmp_path / "more.csv")
    second = run_here(tmp_path, f"{stored}/*.csv*")
    assert (second.new.files, second.new.reused_files) == (1, 6)
    write_object(f"{stored}/more.csv", (tmp_path / "more.csv").read_bytes())  # the same bytes, written once more
    third = run_here(tmp_path, f"{stored}/*.csv*")
    assert third.publication == "unchanged"
    write_object(f"{stored}/more.csv", HEADER)
    fourth = run_here(tmp_path, f"{stored}/*.csv*")
    assert (fourth.new.files, fourth.new.replaced_files) == (1, 1)
    delete_objects([f"{stored}/more.csv"])
    assert run_here(tmp_path, f"{stored}/*.csv*").publication == "unchanged"  # it is missing, and still counts


def test_an_object_that_changes_while_it_is_read_is_refused_and_counts_in_the_next_run(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file, changed = preprocessor.open_file, f"{stored}/3.csv"

    def change(path: str, stop: int | None = None) -> object:
        if path == changed:
            write_object(changed, HEADER + b"e1,ann,2026-11-01T10:00:00Z,v1,tv,1.0.16.1,10\n")
        return open_file(path, stop)

    with monkeypatch.context() as patch:
        patch.setattr(preprocessor, "open_file", change)
        result = run_here(tmp_path, f"{stored}/[03].csv")
    reasons = {found.file: found.reason for found in result.refused_files}
    assert reasons == {changed: "it changed while it was read. Run again when it is complete."}
    assert run_here(tmp_path, f"{stored}/[03].csv").records_read == 801


def test_one_object_is_an_input(stored: str, tmp_path: Path) -> None:
    assert run_here(tmp_path, f"{stored}/0.csv").files == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere", "there is no object, and no folder with objects, at the input"),
        ("in/nowhere-*.csv", "no object matches the input"),
        ("in/notes*", "nothing to process"),
    ],
)
def test_an_input_that_is_not_there(stored: str, source: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        run_here(tmp_path, stored.replace("/in", f"/{source}"))


def test_a_bucket_that_is_not_there_is_an_input_that_is_not_there(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such bucket"):
        run_here(tmp_path, f"{bucket}-other/in")


def test_a_storage_that_fails_amid_a_run_ends_it_and_refuses_no_file(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, _: int | None = None) -> object:
        raise StorageFault(f"{path} cannot be read: nothing answers there.")

    monkeypatch.setattr(preprocessor, "open_file", fail)
    with pytest.raises(StorageFault, match="nothing answers there"):
        run_here(tmp_path, f"{stored}/0.csv")
    assert not (tmp_path / "pipeline_data" / "output").exists()


def test_the_program_reads_objects_by_its_workers(stored: str, tmp_path: Path) -> None:
    answer = run_json("--input", f"{stored}/[03].csv", "--workers", "2", cwd=tmp_path)
    assert (answer["files"], answer["records_read"]) == (2, 1600)
