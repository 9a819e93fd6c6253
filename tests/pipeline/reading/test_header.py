"""Where the header is found, and why a file without one is refused."""

import bz2
import gzip
import lzma
import re
from pathlib import Path
from typing import Protocol, cast

import pytest

from pipeline.errors import FileRefused
from pipeline.reading.column_names import Names, split_fields
from pipeline.reading.header import Header, read_header
from pipeline.reading.no_header import without_fields
from tests.reference import ROLES

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}
NAMES = ["log_id", "user_id", "timestamp", "video_id", "device_type", "ip_address", "watch_time(min)"]


class Find(Protocol):
    """Finds the header of a file with the bytes."""

    def __call__(self, data: bytes, wanted: Names = WANTED, max_record: int = 1024) -> Header: ...


@pytest.fixture
def find(tmp_path: Path) -> Find:
    def find_in(data: bytes, wanted: Names = WANTED, max_record: int = 1024) -> Header:
        path = tmp_path / "a.csv"
        path.write_bytes(data)
        return cast(Header, read_header(path, wanted, max_record))

    return find_in


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("preamble", [b"", b"\n", b"# made by, x;y\r\n\r\n", b"n\n" * 19])
def test_header_in_every_dress(find: Find, delimiter: str, end: bytes, bom: bytes, preamble: bytes) -> None:
    start = bom + preamble + delimiter.join(NAMES).encode() + end
    header = find(start + (b"1\n" if end else b""))
    assert (header.delimiter, header.names, header.data_start) == (delimiter, tuple(NAMES), len(start))
    assert header.columns == {role: NAMES.index(name) for role, name in ROLES.items() if role != "timestamp"}
    assert header.first_line == preamble.count(b"\n") + 2


def test_order_and_extra_columns_are_free(find: Find) -> None:
    header = find(b'"a ""b"", c",watch_time(min),ip_address,"user_id",log_id,\xc3\xa9\n')
    assert header.columns == {"watch_time": 1, "ip_address": 2, "user_id": 3, "log_id": 4}
    assert header.names[0] == 'a "b", c'


def test_aliases(find: Find) -> None:
    header = find(b"id,user_id,ip_address,watch_time(min)\n", WANTED | {"log_id": ("log_id", "id")})
    assert header.columns["log_id"] == 0


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_nothing_has_no_header_and_is_fine(find: Find, data: bytes) -> None:
    assert find(data) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a,b,c\n1,2,3\n", "missing 'log_id'"),
        (b"\n", "missing 'log_id'"),
        (b"\n" * 20 + ",".join(NAMES).encode(), "first 20 lines"),
        (",".join(NAMES).replace("_", "").encode() + b"\n", "Is 'logid' the 'log_id'?"),
        (":".join(NAMES).encode() + b"\n", "every delimiter"),
        (",".join([*NAMES, "log_id"]).encode(), "more than one column"),
        (b'"' + ",".join(NAMES).encode(), "missing"),
        (",".join(NAMES).encode() + b"\r1,2,3\r", "carriage return alone"),
        (b"made by\r\r" + "\t".join(NAMES).encode() + b"\r" + b"x" * 10**6 + b"\r\n", "carriage return alone"),
        *((",".join(NAMES).encode(codec), "UTF-16") for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")),
    ],
)
def test_refused_with_the_reason(find: Find, data: bytes, reason: str) -> None:
    with pytest.raises(FileRefused, match=re.escape(reason)):
        find(data)


def test_a_line_without_any_name_may_be_a_record_and_is_not_shown(find: Find) -> None:
    with pytest.raises(FileRefused, match="line 1 has the most fields, 7 fields") as refused:
        find(b"a7,user01,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n")
    assert "user01" not in str(refused.value)


def test_fields_come_last_so_that_they_can_be_left_out(find: Find) -> None:
    with pytest.raises(FileRefused, match="Is 'logid' the 'log_id'") as refused:
        find(",".join(NAMES).replace("_", "").encode() + b"\n")
    shown = without_fields(str(refused.value))
    assert "logid" not in shown
    assert shown.endswith("under every delimiter of , ; TAB | SPACE.")


def test_a_header_line_beyond_the_limit_is_not_cut_into_a_header(find: Find) -> None:
    """Cut at the limit it would have fewer columns, and its rest would be the first record."""
    data = ",".join([*NAMES, *(f"extra{number:03d}" for number in range(40))]).encode() + b"\n"
    assert len(find(data).names) == 47
    with pytest.raises(FileRefused, match="longer than"):
        find(data, max_record=256)


def test_a_preamble_line_beyond_the_limit_is_one_line(find: Find) -> None:
    start = b"#" * 700 + b"\n" + ",".join(NAMES).encode() + b"\n"
    header = find(start, max_record=256)
    assert (header.first_line, header.data_start) == (3, len(start))


def test_fields_of_a_line() -> None:
    assert split_fields('a,"b,""c""",,d"e', ",") == ("a", 'b,"c"', "", 'd"e')
    assert split_fields('a,"b"c', ",") is None
    assert split_fields('a,"b', ",") is None
    assert split_fields("", ",") == ("",)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (gzip.compress(b"log_id\n", mtime=0), "gzip data"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd data"),
        (bz2.compress(b"log_id\n"), "bzip2 data"),
        (lzma.compress(b"log_id\n"), "xz data"),
        (b"PK\x03\x04\x14\x00", "ZIP archive or an Excel workbook"),
        (b"PAR1\x15", "Parquet"),
    ],
)
def test_what_is_no_text_is_refused_by_its_name(find: Find, data: bytes, named: str) -> None:
    with pytest.raises(FileRefused, match=named):
        find(data)
