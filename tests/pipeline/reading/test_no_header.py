"""Why a file has no header: the cause is named."""

from pathlib import Path

import pytest

from pipeline.errors import FileRefused
from pipeline.reading.header import read_header
from pipeline.reading.no_header import missing_columns
from tests.harness import HEADER

WANTED = {
    "log_id": ("log_id",),
    "user_id": ("user_id",),
    "ip_address": ("ip_address",),
    "watch_time": ("watch_time(min)",),
}
ROW = b"a1,ann,t,v,tv,8.8.8.8,1\n"


def reason(data: bytes, folder: Path, columns: tuple[str, ...] = ()) -> str:
    path = folder / "a.csv"
    path.write_bytes(data)
    with pytest.raises(FileRefused) as refused:
        read_header(path, WANTED, 1024, columns=columns)
    return str(refused.value)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 5000, 3 * 2**20])
def test_a_log_truncated_in_place(count: int, tmp_path: Path) -> None:
    said = reason(bytes(count) + ROW, tmp_path)
    assert f"begins with {count:,} NUL byte" in said
    assert "truncated in place" in said


def test_nul_bytes_before_a_header_are_no_utf_16(tmp_path: Path) -> None:
    assert "truncated in place" in reason(bytes(3) + HEADER + ROW, tmp_path)
    assert "UTF-16" in reason(HEADER.decode().encode("utf-16-be"), tmp_path)
    assert "UTF-16" in reason(HEADER.decode().encode("utf-32-be"), tmp_path)
    assert "UTF-16" in reason("ab".encode("utf-16-le"), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "column"),
    [
        (b"watch_time(min)", b'"watch_time\n(min)"', 1, 7),
        (b"watch_time(min)", b'"watch_time(min)\r\n"', 1, 7),
        (b"video_id", b'"video\n\n""id"""', 1, 4),
        (b"log_id,", b'made by x\n"Log\nID",', 2, 1),
    ],
)
def test_a_line_end_inside_a_quoted_name(old: bytes, new: bytes, line: int, column: int, tmp_path: Path) -> None:
    said = reason(HEADER.replace(old, new) + ROW, tmp_path)
    assert f"the header on line {line} has a line end inside the quoted name of its column {column}," in said


def test_a_quote_that_the_header_leaves_open_shows_no_record(tmp_path: Path) -> None:
    said = reason(HEADER.rstrip() + b',"x\na1,SECRETUSER,t,v,tv,8.8.8.8,1,"\n', tmp_path)
    assert "inside the quoted name of its column 8" in said
    assert "SECRET" not in said


def test_records_alone_name_the_setting(tmp_path: Path) -> None:
    assert reason(ROW, tmp_path).endswith(" if the file has no header, name its columns in COLUMNS.")
    assert "COLUMNS" not in reason(HEADER.replace(b"user_id", b"person"), tmp_path)


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    said = reason(b"1,2\n", tmp_path, ("log_id", "user_id", "ip_address", "watch_time(min)"))
    assert "none of its first lines has the 4 fields of COLUMNS" in said


def test_the_missing_columns_of_a_reason(tmp_path: Path) -> None:
    said = reason(b"log_id,viewer,when,ip_address,minutes\n" + ROW, tmp_path)
    there = ("log_id", "viewer", "when", "ip_address", "minutes")
    assert missing_columns(said) == ({"USER_ID_COLUMN": "user_id", "WATCH_TIME_COLUMN": "watch_time(min)"}, there)
    close = reason(b"log_id,userid,when,ip_address,watch_time(min)\n" + ROW, tmp_path)
    assert "Is 'userid' the 'user_id'?" in close
    assert missing_columns(close)[1] == ("log_id", "userid", "when", "ip_address", "watch_time(min)")
    wide = "log_id," + ",".join(f"c{number}" for number in range(30))
    found, first = missing_columns(reason(wide.encode() + b"\n", tmp_path))
    assert (list(found), len(first), first[-1]) == (
        ["USER_ID_COLUMN", "IP_ADDRESS_COLUMN", "WATCH_TIME_COLUMN"], 20, "c18",
    )  # fmt: skip
    assert missing_columns(reason(ROW, tmp_path))[1] == (), "values of a record are no names"
    assert missing_columns("the header has more than one column named 'log_id'") == ({}, ())
