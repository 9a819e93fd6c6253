"""Compressed and plain logs through the command line, on both engines: same values, or the file refused by name."""

import gzip
import json
import shutil
import zlib
from pathlib import Path

import polars as pl
import pytest
import xxhash

from pipeline.exchange.workspace import Workspace
from pipeline.reading.archives import zstd
from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, published, read_result, run_json
from tests.harness import run_here

PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
ROW = "{},ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,{}\n"


def text(*records: tuple[str, object]) -> bytes:
    return (HEADER + "".join(ROW.format(*record) for record in records)).encode()


def run_record(folder: Path) -> dict:
    """``run.json`` of the published version."""
    return json.loads(((folder / "pipeline_data" / "output").resolve().parent / "run.json").read_text())


def left_in_spool(folder: Path) -> list[Path]:
    return list((folder / "pipeline_data" / "intermediate").rglob("spool/*"))


@pytest.fixture(scope="module")
def packed(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four generated logs: one plain, one as .gz of two members, one as .zst of two frames, one as .TSV.GZ."""
    folder = tmp_path_factory.mktemp("packed")
    for path, ending in zip(sorted(logs.glob("*.csv")), ("", ".gz", ".zst", ".GZ"), strict=True):
        data = path.read_bytes()
        half = len(data) // 2
        pack = PACK[ending.lower()]
        name = path.name.replace(".csv", ".TSV") if ending == ".GZ" else path.name
        (folder / (name + ending)).write_bytes(pack(data[:half]) + pack(data[half:]))
    return folder


@pytest.mark.parametrize("engine", ["polars", "spark"])
def test_packing_changes_no_value(engine: str, logs: Path, packed: Path, tmp_path: Path) -> None:
    if engine == "spark" and not shutil.which("java"):
        pytest.skip("this machine has no Java")
    plain = run_here(tmp_path, logs, OUTPUT_DIR="plain").to_json()
    answer = run_json("--input", packed, "--engine", engine, cwd=tmp_path, env=environment(SPLIT_BYTES="300kB"))
    assert published(tmp_path) == read_result(tmp_path / "plain")
    for name in ("files", "records_read", "bytes_read", "kept", "duplicates", "conflicts", "rejected", "output_rows"):
        assert answer[name] == plain[name], name
    assert answer["conflicts"] > 0
    assert not left_in_spool(tmp_path)
    conflicts = pl.read_parquet(f"{tmp_path}/pipeline_data/output.versions/*/quarantine/conflicts.parquet")
    assert set(conflicts["file"]) == {str(path) for path in packed.iterdir()}
    texts = {}
    for path in packed.iterdir():
        opened = gzip.open if path.suffix.lower() == ".gz" else zstd.open if path.suffix == ".zst" else open
        with opened(path, "rb") as stream:
            texts[str(path)] = stream.read()
    for file, line, offset, raw in conflicts.select("file", "line", "byte_offset", "raw").iter_rows():
        assert texts[file][offset:].startswith(raw)
        assert texts[file].count(b"\n", 0, offset) == line - 1


def test_the_ledger_of_every_file(logs: Path, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for path in packed.iterdir():
        shutil.copy(path, tmp_path / "in")
    (tmp_path / "in" / "empty.csv").write_bytes(b"")
    (tmp_path / "in" / "header.csv.zst").write_bytes(zstd.compress(text()))
    dirty = b"# made by hand\n" + text(("d1", 1), ("d1", 1), ("d2", "x"), ("", 1)) + b"\n\n"
    (tmp_path / "in" / "dirty.csv.gz").write_bytes(gzip.compress(dirty))
    answer = command_json("--input", "in", cwd=tmp_path, env=environment(SPLIT_BYTES="300kB"))
    record = run_record(tmp_path)
    ledger = {Path(entry["file"]).name: entry for entry in record["ledger"]}
    assert set(ledger) == {path.name for path in (tmp_path / "in").iterdir()}
    for path in (tmp_path / "in").iterdir():
        entry, on_disk = ledger[path.name], path.read_bytes()
        assert entry["content_hash"] == xxhash.xxh3_128_hexdigest(on_disk), path.name
        assert entry["bytes_on_disk"] == len(on_disk)
        assert entry["records"] == entry["duplicates"] + entry["handed_over"] + entry["rejected"]
        assert entry["rejected"] == sum(entry["rejected_by_reason"].values())
    assert {ledger[path.name]["bytes"] for path in logs.glob("*1_*.csv")} == {
        path.stat().st_size for path in logs.glob("*1_*.csv")
    }
    assert all(ledger[path.name]["splits"] > 1 for path in packed.iterdir())
    names = ("records", "duplicates", "handed_over", "blank_lines", "preamble_lines", "splits", "bytes")
    assert [ledger["empty.csv"][name] for name in names] == [0] * 7
    assert [ledger["header.csv.zst"][name] for name in names] == [0] * 6 + [len(HEADER)]
    assert [ledger["dirty.csv.gz"][name] for name in names] == [4, 1, 1, 2, 1, 1, len(dirty)]
    assert ledger["dirty.csv.gz"]["rejected_by_reason"] == {"blank_log_id": 1, "watch_time_not_a_number": 1}
    totals = {"records": "records_read", "duplicates": "duplicates_phase1", "bytes": "bytes_read"} | {
        name: name for name in ("handed_over", "rejected", "blank_lines", "preamble_lines")
    }
    for name, total in totals.items():
        assert sum(entry[name] for entry in ledger.values()) == answer[total] == record[total], name
    for found in (answer, record):
        assert found["duplicates"] == found["duplicates_phase1"] + found["duplicates_phase2"]
        assert found["handed_over"] == found["kept"] + found["duplicates_phase2"] + found["conflicts"]


def test_plain_and_compressed_copies_are_duplicates(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    data = text(*((f"id{n}", n) for n in range(100)))
    for ending, pack in PACK.items():
        (tmp_path / "in" / f"log.csv{ending}").write_bytes(pack(data))
    answer = command_json("--input", "in", cwd=tmp_path)
    assert (answer["files"], answer["records_read"], answer["kept"], answer["duplicates"]) == (3, 300, 100, 200)
    assert answer["total_watch_time_min"] == sum(range(100))


def test_rejected_records_name_the_archive_and_count_in_its_text(tmp_path: Path) -> None:
    data = text(("good", 1), ("bad", "abc"))
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(data))
    command_json("--input", "log.csv.gz", cwd=tmp_path)
    (row,) = pl.read_parquet(f"{tmp_path}/pipeline_data/output.versions/*/quarantine/rejected.parquet").to_dicts()
    assert (row["file"], row["line"], row["byte_offset"]) == ("log.csv.gz", 3, data.index(b"bad"))
    assert row["raw"] == ROW.format("bad", "abc").strip().encode()


def test_bad_archives_among_good_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    good, other = text(("kept", 2)), text(("lost", 1))
    bomb = zlib.compressobj(1, wbits=31)
    zeros = bytes(10**6)
    bad = {
        "bomb.csv.gz": (b"".join(bomb.compress(zeros) for _ in range(1000)) + bomb.flush(), "MAX_EXPANSION_RATIO"),
        "bomb.csv.zst": (zstd.compress(zeros * 1000), "MAX_EXPANSION_RATIO"),
        "truncated.csv.gz": (gzip.compress(other)[:-1], "truncated"),
        "truncated.csv.zst": (zstd.compress(other)[:-1], "truncated"),
        "corrupt.csv.gz": (gzip.compress(other)[:-8] + bytes(8), "corrupt"),
        "more.csv.gz": (gzip.compress(other) + b"more", "other bytes follow"),
        "plain.csv.gz": (other, "no gzip archive"),
        "plain.tsv.zst": (other, "no zstd archive"),
        "zero bytes.csv.gz": (b"", "truncated"),
        "twice.csv.gz": (gzip.compress(gzip.compress(other)), "found gzip data"),
        "packed.csv": (gzip.compress(other), "found gzip data"),
        "headless.csv.zst": (zstd.compress(b"a,b\n1,2\n"), "no header"),
    }
    for name, (data, _) in bad.items():
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "good.csv.gz").write_bytes(gzip.compress(good))
    for name in ("log.csv.bz2", "log.csv.xz", "log.zip", "log.gz"):
        (tmp_path / "in" / name).write_bytes(other)
    answer = run_json("--input", "in", cwd=tmp_path, code=6, env=environment(MEMORY_LIMIT="1GB"))  # its own memory
    assert answer["status"] == "partial"
    reasons = {Path(refused["file"]).name: refused["reason"] for refused in answer["refused_files"]}
    assert set(reasons) == set(bad)
    for name, (_, message) in bad.items():
        assert message in reasons[name], name
        assert "/spool" not in reasons[name], name
    assert published(tmp_path) == [("North America", "ann", 2.0, 1)]
    assert answer["peak_memory_bytes"] < 10**9
    assert not left_in_spool(tmp_path)
    skipped = {Path(path).name for path in run_record(tmp_path)["skipped_files"]}
    assert skipped == {"log.csv.bz2", "log.csv.xz", "log.zip", "log.gz"}

    (tmp_path / "in" / "good.csv.gz").unlink()
    answer = command_json("--input", "in", "--full-refresh", cwd=tmp_path, code=3)
    assert (answer["status"], len(answer["refused_files"])) == ("failed", len(bad))
    assert published(tmp_path) == [("North America", "ann", 2.0, 1)]


def test_a_larger_ratio_lets_a_repetitive_log_in(tmp_path: Path) -> None:
    data = text(*[("one", 1)] * 17).replace(b",v,", b"," + b"v" * 1_000_000 + b",")
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(data))
    answer = command_json("--input", "log.csv.gz", cwd=tmp_path, code=3)
    assert "MAX_EXPANSION_RATIO" in answer["refused_files"][0]["reason"]
    answer = command_json("--input", "log.csv.gz", cwd=tmp_path, env=environment(MAX_EXPANSION_RATIO=2000))
    assert (answer["kept"], answer["bytes_read"], answer["duplicates"]) == (1, len(data), 16)


@pytest.mark.parametrize("name", ["log.csv.bz2", "log.xlsx", "log.gz", "log"])
def test_any_other_ending_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text(("one", 1)))
    answer = command_json("--input", name, cwd=tmp_path, code=3)
    assert repr(name) in answer["error"]
    assert ".csv.zst" in answer["error"]


def test_progress_says_that_files_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text(("one", 1))))
    ended = command("--input", "log.csv.gz", "--engine", "polars", cwd=tmp_path)
    assert ended.code == 0
    assert "Expand compressed files" in ended.err


def test_expanded_files_are_their_owners_alone(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "run"))
    workspace.create()
    assert workspace.path("spool", "").stat().st_mode & 0o777 == 0o700
