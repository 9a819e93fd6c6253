"""Logs with several headers, with records before the header, with odd headers and with none, through whole runs."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from config import load_config
from pipeline.history.manifest import Manifest
from pipeline.inspection.explain.published import open_published
from pipeline.inspection.explain.record import explain_record
from pipeline.inspection.explain.user import explain_user
from pipeline.planning.run_options import RunOptions
from pipeline.publish.result import RunResult
from pipeline.reading.archives import zstd
from tests.end_to_end.command import command_json
from tests.end_to_end.days import make_old
from tests.end_to_end.program import HEADER, environment, published, run_json
from tests.harness import run_here
from tests.needs import needs_java

NAMES = HEADER.strip().split(",")
SWAPPED = "log_id,video_id,timestamp,user_id,device_type,ip_address,watch_time(min)\n"
MORE = "day;watch_time(min);ip_address;user_id;title;log_id\n"
AMERICA = "North America"


def first(name: str, minutes: object, user: str = "u1") -> str:
    """A record under ``HEADER``."""
    return f"{name},{user},2026-01-01T00:00:00Z,v1,tv,8.8.8.8,{minutes}\n"


def second(name: str, minutes: object, user: str = "u1") -> str:
    """A record under ``SWAPPED``."""
    return f"{name},v7,2026-01-01T00:00:00Z,{user},tv,8.8.8.8,{minutes}\n"


def third(name: str, minutes: object, user: str = "u1") -> str:
    """A record under ``MORE``, with a quoted delimiter and line end."""
    return f'Mon;{minutes};8.8.8.8;{user};"a ""b"";\nc";{name}\n'


def several_of(record: Callable[[str, object], str], number: int, name: str = "b") -> str:
    """Records of 1 minute under ``HEADER``, of 10 under any other."""
    return "".join(record(f"{name}{n}", 1 if record is first else 10) for n in range(number))


def run_over(folder: Path, text: str | bytes, name: str = "a.csv", **settings: object) -> RunResult:
    (folder / "logs").mkdir(exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    (folder / "logs" / name).write_bytes(data)
    make_old(folder / "logs" / name)
    return run_here(folder, **settings)


def rejected(folder: Path, result: RunResult) -> list[tuple[int, str, bytes]]:
    """(line, reason, bytes) of the rejected records."""
    frame = pl.read_parquet(folder / str(result.quarantine) / "rejected.parquet")
    return frame.select("line", "reason", "raw").sort("line").rows()


TWO_LOGS = HEADER + first("a1", 1) + SWAPPED + second("a3", 10)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_second_header_with_the_columns_in_another_order(compiled: bool, tmp_path: Path) -> None:
    result = run_over(tmp_path, TWO_LOGS, COMPILED_PARSER=compiled)
    assert published(tmp_path) == [(AMERICA, "u1", 11.0, 2)]
    assert (result.records_read, result.kept, result.rejected_by_reason) == (3, 2, {"repeated_header": 1})
    assert "the header changes within a file, and what follows is read by it: logs/a.csv (line 3)" in result.notes


SIBLINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "byte-order mark": lambda text: text.replace(SWAPPED, "\ufeff" + SWAPPED).encode("utf-8-sig"),
    "quoted": lambda text: text.replace(SWAPPED, '"' + '","'.join(SWAPPED.strip().split(",")) + '"\n').encode(),
    "other case": lambda text: text.replace(SWAPPED, SWAPPED.upper()).encode(),
    "spaces and #": lambda text: text.replace(
        SWAPPED, "# " + SWAPPED.replace(",", ", ").replace("_id", "_ID ")
    ).encode(),
    "no line end before": lambda text: text.replace("\n" + SWAPPED, SWAPPED).encode(),
}


@pytest.mark.parametrize("dress", SIBLINGS)
@pytest.mark.parametrize("split", [0, 101])
def test_every_dress_of_the_second_header(dress: str, split: int, tmp_path: Path) -> None:
    records = [first(f"a{n}", 1) for n in range(20)], [second(f"b{n}", 10) for n in range(20)]
    text = HEADER + "".join(records[0]) + SWAPPED + "".join(records[1])
    glued = dress == "no line end before"
    result = run_over(tmp_path, SIBLINGS[dress](text), SPLIT_BYTES=split, CHUNK_BYTES=256)
    assert published(tmp_path) == [(AMERICA, "u1", 219.0 if glued else 220.0, 39 if glued else 40)]
    assert result.rejected_by_reason == {"wrong_field_count" if glued else "repeated_header": 1}


def several(number: int = 30) -> tuple[str, int]:
    """(logs with other columns and delimiters one behind the other, the minutes of u1 in them)."""
    text = "".join(
        HEADER + first(f"a{n}", 1) + first(f"a{n}", 1) + SWAPPED + second(f"b{n}", 10) + MORE + third(f"c{n}", 100)
        for n in range(number)
    )
    return text, 111 * number


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("settings", [{}, {"SPLIT_BYTES": 300}, {"SPLIT_BYTES": 64, "COMPILED_PARSER": False}])
def test_many_headers_in_plain_and_compressed_logs(ending: str, settings: dict, tmp_path: Path) -> None:
    text, minutes = several()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}[ending]
    result = run_over(tmp_path, pack(text.encode()), f"a.csv{ending}", **settings)
    assert published(tmp_path) == [(AMERICA, "u1", float(minutes), 90)]
    assert (result.records_read, result.kept, result.duplicates) == (30 * 4 + 89, 90, 30)
    assert result.rejected_by_reason == {"repeated_header": 89}


def test_a_header_that_lacks_columns_ends_what_can_be_read(tmp_path: Path) -> None:
    text = HEADER + first("a1", 1) + "log_id,user_id,timestamp\n" + "a2,u1,t\n" + first("a3", 1) + '"x\n' + SWAPPED
    result = run_over(tmp_path, text + second("a4", 10), SPLIT_BYTES=64)
    assert published(tmp_path) == [(AMERICA, "u1", 11.0, 2)]
    assert [(line, reason) for line, reason, _ in rejected(tmp_path, result)] == [
        *((line, "unusable_header") for line in (3, 4, 5, 6)),
        (7, "repeated_header"),
    ]
    assert result.records_read == 7 == result.kept + result.rejected
    assert (
        "a header within a file lacks columns, and nothing behind it was read (unusable_header): "
        "logs/a.csv (line 3: 4 records)" in result.notes
    )


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("old", "new"), [("user_id", "uid2"), ("watch_time(min)", "duration"), ("log_id", "who knows")]
)
def test_a_header_with_an_unknown_name_ends_what_can_be_read(
    old: str, new: str, compiled: bool, tmp_path: Path
) -> None:
    text = HEADER + first("a1", 1) + SWAPPED.replace(old, new) + second("a3", 10)
    result = run_over(tmp_path, text, COMPILED_PARSER=compiled)
    assert published(tmp_path) == [(AMERICA, "u1", 1.0, 1)]
    assert result.rejected_by_reason == {"unusable_header": 2}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "names", ["id,video,time,user,device,ip_address,watch_time(min)", "user_id,log_id,c,d,e,ip_address,minutes"]
)
def test_a_header_with_two_required_names_is_none_of_the_records(names: str, compiled: bool, tmp_path: Path) -> None:
    """Ten minutes went to a user v7, because fewer than half of the names were known."""
    text = HEADER + first("a1", 1) + names + "\na3,v7,t,u1,tv,8.8.8.8,10\n"
    result = run_over(tmp_path, text, COMPILED_PARSER=compiled)
    assert published(tmp_path) == [(AMERICA, "u1", 1.0, 1)]
    assert result.rejected_by_reason == {"unusable_header": 2}


@pytest.mark.parametrize("compiled", [True, False])
def test_a_delimiter_at_the_end_of_records_with_line_ends(compiled: bool, tmp_path: Path) -> None:
    """Each of the first lines was half a record, so that all records had one field too many."""
    record = 'i{n},u1,t,"{{""d"":""x\ny""}}",tv,8.8.8.8,1,\n'
    result = run_over(tmp_path, HEADER + "".join(record.format(n=n) for n in range(30)), COMPILED_PARSER=compiled)
    assert published(tmp_path) == [(AMERICA, "u1", 30.0, 30)]
    assert not result.rejected


@pytest.mark.parametrize("text", ["t\nz", "a\nb, c, d, e, f", "a;b\nc;d;e;f"])
def test_records_with_line_ends_in_a_log_without_a_header(text: str, tmp_path: Path) -> None:
    """COLUMNS: the file was refused, or read with a delimiter that stands in the text."""
    names = "log_id,user_id,title,ip_address,watch_time(min)"
    lines = "".join(f'i{n},u1,"{text}",8.8.8.8,1\n' for n in range(59))
    result = run_over(tmp_path, lines, COLUMNS=names)
    assert published(tmp_path) == [(AMERICA, "u1", 59.0, 59)]
    assert not result.rejected


def ended(text: str) -> str:
    """The text with a delimiter at the end of every line."""
    return text.replace("\n", ",\n")


FEW_BEHIND_MANY = {
    "delimiters at the end behind": (HEADER + first("a", 1) + ended(SWAPPED + several_of(second, 5)), 51, 6),
    "delimiters at the end before": (
        ended(HEADER + several_of(first, 3)) + SWAPPED + several_of(second, 5, "d"), 53, 8
    ),
    "a further column": (
        HEADER + several_of(first, 2) + HEADER.replace("\n", ",note\n") + ended(several_of(first, 3, "c")), 5, 5
    ),
    "in the middle": (
        HEADER + several_of(first, 30) + ended(SWAPPED + several_of(second, 2, "d"))
        + HEADER + several_of(first, 30, "c"), 80, 62,
    ),
}  # fmt: skip
"""By kind: (text, minutes, events). What ends the records of one log says nothing of the log behind it."""


@pytest.mark.parametrize("kind", FEW_BEHIND_MANY)
@pytest.mark.parametrize("settings", [{}, {"COMPILED_PARSER": False}, {"SPLIT_BYTES": 300}], ids=["", "Polars", "cut"])
def test_each_header_is_fitted_to_its_own_records(kind: str, settings: dict, tmp_path: Path) -> None:
    text, minutes, events = FEW_BEHIND_MANY[kind]
    run_over(tmp_path, text, **settings)
    assert published(tmp_path) == [(AMERICA, "u1", float(minutes), events)]


def test_records_before_the_header(tmp_path: Path) -> None:
    before = "# made by x\n" + first("a1", 1) + first("a2", 1) + "\n" + "not,a,record\n"
    result = run_over(tmp_path, before + first("a3", 1) + HEADER + first("a4", 2))
    assert published(tmp_path) == [(AMERICA, "u1", 2.0, 1)]
    assert rejected(tmp_path, result) == [
        (n, "before_header", first(f"a{i}", 1).strip().encode()) for n, i in ((2, 1), (3, 2), (6, 3))
    ]
    assert (result.records_read, result.kept, result.rejected, result.preamble_lines) == (4, 1, 3, 3)
    assert "records before the header of their file were rejected (before_header): logs/a.csv (3)" in result.notes
    again = run_here(tmp_path)
    assert (again.records_read, again.rejected_by_reason, again.preamble_lines) == (4, {"before_header": 3}, 3)
    assert again.notes[-1].startswith("nothing has changed")


def test_only_records_before_the_header(tmp_path: Path) -> None:
    result = run_over(tmp_path, first("a1", 1) + HEADER + first("a2", 1))
    (tmp_path / "logs" / "b.csv").write_text(first("b1", 1) + "\n" + HEADER)
    result = run_here(tmp_path)
    assert (result.records_read, result.kept, result.rejected_by_reason) == (3, 1, {"before_header": 2})


def test_a_further_day_and_the_questions_read_by_the_right_header(tmp_path: Path) -> None:
    """Conflicts, explanations and carried-over files, where an id has copies under three headers."""
    text = HEADER + first("x", 1, "ann") + SWAPPED + second("x", 2, "bob") + MORE + third("x", 3, "cid") + third("y", 1)
    for number, size in enumerate((0, 64)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_over(folder, text + third("x", "one"), SPLIT_BYTES=size)
        (folder / "logs" / "b.csv").write_text(HEADER + first("x", 3, "cid") + first("z", 5))
        result = run_here(folder, SPLIT_BYTES=size)
        assert published(folder) == [(AMERICA, "cid", 3.0, 1), (AMERICA, "u1", 6.0, 2)]
        assert (result.kept, result.duplicates, result.conflicts, result.rejected) == (3, 1, 2, 3)
        assert result.new.reused_files == 1
        assert (
            "the header changes within a file, and what follows is read by it: logs/a.csv (lines 3, 5)" in result.notes
        )
        conflicts = (
            pl.read_parquet(folder / str(result.quarantine) / "conflicts.parquet").select("line", "raw").sort("line")
        )
        assert conflicts.rows() == [
            (2, first("x", 1, "ann").strip().encode()),
            (4, second("x", 2, "bob").strip().encode()),
        ]
        settings = {
            "INTERMEDIATE_DIR": str(folder / "pipeline_data/intermediate"),
            "OUTPUT_DIR": str(folder / "pipeline_data/output"),
        }
        config = load_config({"INPUT_DIR": str(folder / "logs"), **settings}, {}, None)
        with open_published(config) as opened:
            answer = explain_record(opened, "x", 20)
            user = explain_user(opened, config, "u1")
        copies = {(Path(copy.file).name, copy.line, copy.user_id, copy.outcome) for copy in answer.copies}
        winner = {copy for copy in copies if copy[2] == "cid"}
        assert copies - winner == {("a.csv", 2, "ann", "conflict"), ("a.csv", 4, "bob", "conflict")}
        assert {copy[:2] for copy in winner} == {("a.csv", 6), ("b.csv", 2)}
        assert [(copy.line, copy.reason) for copy in answer.rejected] == [(10, "watch_time_not_a_number")]
        assert {event.log_id for event in user.events} == {"y", "z"}
        assert user.agrees


def test_conflicts_whose_version_has_none_are_read_by_the_right_header(tmp_path: Path) -> None:
    text = HEADER + first("p", 1) + MORE + third("x", 1, "ann") + third("x", 2, "bob")
    result = run_over(tmp_path, text)
    (conflict,) = pl.read_parquet(tmp_path / str(result.quarantine) / "conflicts.parquet").select("line", "raw").rows()
    assert conflict == (4, third("x", 1, "ann").strip().encode())


def test_an_interrupted_run_goes_on_with_the_headers_that_it_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, minutes = several(60)
    finish = Manifest.finish

    def interrupted(manifest: Manifest, splits: list, files: list) -> None:
        finish(manifest, splits, [])
        if files:
            raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_over(tmp_path, text, SPLIT_BYTES=500)
    monkeypatch.undo()
    result = run_here(tmp_path, SPLIT_BYTES=500)
    assert any("an interrupted run had finished" in note for note in result.notes)
    assert published(tmp_path) == [(AMERICA, "u1", float(minutes), 180)]
    assert result.rejected_by_reason == {"repeated_header": 179}


@pytest.mark.parametrize("rows", [2, 3000])
def test_a_log_that_grows_behind_a_second_header(rows: int, tmp_path: Path) -> None:
    """What is appended is read by the header in force there; a header at the end is fitted to what comes behind it."""
    settings = {"MAX_RECORD_BYTES": 256, "SPLIT_BYTES": 20_000}
    text = HEADER + first("a", 1) + SWAPPED + "".join(second(f"b{n}", 2) for n in range(rows)) + HEADER
    run_over(tmp_path, text, **settings)
    assert published(tmp_path) == [(AMERICA, "u1", 1.0 + 2 * rows, 1 + rows)]
    path = tmp_path / "logs" / "a.csv"
    path.write_text(text + first("c", "4,") + first("d", "4,") + MORE + third("e", 8))
    make_old(path)
    result = run_here(tmp_path, **settings)
    assert published(tmp_path) == [(AMERICA, "u1", 17.0 + 2 * rows, 4 + rows)]
    assert result.rejected_by_reason == {"repeated_header": 3}
    fresh = run_here(tmp_path, options=RunOptions(full_refresh=True), **settings)
    assert published(tmp_path) == [(AMERICA, "u1", 17.0 + 2 * rows, 4 + rows)]
    assert (fresh.records_read, fresh.rejected_by_reason) == (result.records_read, result.rejected_by_reason)
    assert (result.new.reused_splits > 0) == (rows > 2), "of the long log, splits before the last headers stay"


def test_a_replayed_file_with_two_headers(tmp_path: Path) -> None:
    run_over(tmp_path, HEADER + first("a0", 1))
    (tmp_path / "mend.csv").write_text(TWO_LOGS)
    run_here(tmp_path, options=RunOptions(replay=("mend.csv",)))
    assert published(tmp_path) == [(AMERICA, "u1", 12.0, 3)]


@needs_java
def test_spark_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text, minutes = several()
    (tmp_path / "logs" / "a.csv").write_text(text)
    answer = run_json("--input", "logs", "--engine", "spark", cwd=tmp_path, env=environment(SPLIT_BYTES=300))
    assert published(tmp_path) == [(AMERICA, "u1", float(minutes), 90)]
    assert answer["rejected_by_reason"] == {"repeated_header": 89}


NAMES_WITH_SPACES = HEADER.replace(",", " ")
TABS = (first("a1", 1) + "#Date: now\n#Fields: " + SWAPPED.replace(",", " ") + second("a3", 10)).replace(",", "\t")
AS_PEOPLE_WRITE = {
    "case": TWO_LOGS.replace(HEADER, HEADER.upper()),
    "# and NBSP": TWO_LOGS.replace("log_id,", "#log_id\xa0, "),
    "delimiters at all ends": "".join(line + ",\n" for line in TWO_LOGS.splitlines()),
    "delimiters at the records' ends": TWO_LOGS.replace("8,1\n", "8,1,\n").replace("8,10\n", "8,10,\n"),
    "two byte-order marks": "\ufeff\ufeff" + TWO_LOGS,
    "comment": f"# {NAMES_WITH_SPACES}{TWO_LOGS}",
    "W3C": "#Version: 1.0\n#Fields: " + TWO_LOGS.replace(",", " "),
    "W3C with tabs": f"#Version: 1.0\n#Fields: {NAMES_WITH_SPACES}{TABS}",
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("text", AS_PEOPLE_WRITE.values(), ids=AS_PEOPLE_WRITE)
def test_headers_as_people_write_them(text: str, compiled: bool, tmp_path: Path) -> None:
    result = run_over(tmp_path, text, COMPILED_PARSER=compiled)
    assert published(tmp_path) == [(AMERICA, "u1", 11.0, 2)]
    assert set(result.rejected_by_reason) <= {"repeated_header", "directive"}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
def test_logs_without_a_header(delimiter: str, compiled: bool, tmp_path: Path) -> None:
    records = "".join(first(f"a{n}", 1) for n in range(50)).replace(",", delimiter)
    columns = ",".join(NAMES)
    result = run_over(
        tmp_path, records + SWAPPED + second("b", 10), COMPILED_PARSER=compiled, COLUMNS=columns, SPLIT_BYTES=500
    )
    assert published(tmp_path) == [(AMERICA, "u1", 60.0, 51)]
    assert (result.records_read, result.rejected_by_reason, result.preamble_lines) == (52, {"repeated_header": 1}, 0)
    (tmp_path / "logs" / "b.csv").write_text(SWAPPED + second("c", 5))
    run_here(tmp_path, COLUMNS=columns)
    assert published(tmp_path) == [(AMERICA, "u1", 65.0, 52)], "a log with a header is read by its own"
    swapped = columns.replace("user_id", "x").replace("video_id", "user_id").replace("x", "video_id")
    other = run_here(tmp_path, COLUMNS=swapped)
    assert published(tmp_path) == [(AMERICA, "u1", 15.0, 2), (AMERICA, "v1", 50.0, 50)]
    assert other.new.reused_files == 0, "other columns, other records"


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("own", "other"), [(";", ","), (",", ";"), (" ", "\t")])
def test_few_records_without_a_header_before_another_log(own: str, other: str, compiled: bool, tmp_path: Path) -> None:
    another = SWAPPED + "".join(second(f"b{n}", 1) for n in range(30))
    text = first("a1", 1).replace(",", own) + another.replace(",", other)
    result = run_over(tmp_path, text, COMPILED_PARSER=compiled, COLUMNS=",".join(NAMES))
    assert published(tmp_path) == [(AMERICA, "u1", 31.0, 31)]
    assert result.rejected_by_reason == {"repeated_header": 1}


def test_hidden_files_are_skipped_and_named(tmp_path: Path) -> None:
    run_over(tmp_path, TWO_LOGS)
    for name in (".x.csv", "._a.csv", "notes.txt"):
        (tmp_path / "logs" / name).write_bytes(b"\x00\x05\x16\x07")
    answer = command_json("--input", "logs", cwd=tmp_path)
    assert [Path(path).name for path in answer["skipped_files"]] == ["._a.csv", ".x.csv", "notes.txt"]
    assert (answer["files"], answer["refused_files"]) == (1, [])
