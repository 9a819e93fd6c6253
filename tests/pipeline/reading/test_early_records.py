"""Records before the header are rejected; comments and other lines there are none."""

import io
from pathlib import Path

import pytest

from pipeline.reading.early_records import find_early_records, note_early_records
from pipeline.reading.header import Header, read_header
from tests.harness import HEADER

WANTED = {
    "log_id": ("log_id",),
    "user_id": ("user_id",),
    "ip_address": ("ip_address",),
    "watch_time": ("watch_time(min)",),
}
ROW = b"a1,ann,t,v,tv,8.8.8.8,1"


def header_of(data: bytes, folder: Path) -> Header:
    path = folder / "a.csv"
    path.write_bytes(data)
    header = read_header(path, WANTED, 100)
    assert header
    return header


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (b"", []),
        (b"# made by x\n\n", []),
        (ROW + b"\n", [(0, 0)]),
        (b"\xef\xbb\xbf" + ROW + b"\r\n", [(0, 3)]),
        (b"# x\r\n" + ROW + b"\n\n" + ROW + b"\n", [(1, 5), (3, 5 + len(ROW) + 2)]),
        (b"#" + ROW + b"\n", []),
        (ROW + b",x\n" + ROW[:-2] + b"\n", []),
        (ROW.replace(b",1", b",one") + b"\n" + ROW.replace(b"ann", b" ") + b"\n", []),
        (b"x" * 500 + b"\n" + ROW + b"\n", [(1, 501)]),
        (ROW.replace(b"v", b'"v\n\nv"', 1) + b"\n" + ROW + b"\n", [(0, 0), (3, len(ROW) + 6)]),
        (ROW.replace(b"v", b'"v', 1) + b"\n" + ROW + b"\n", [(1, len(ROW) + 2)]),
    ],
)
def test_records_before_the_header(before: bytes, found: list[tuple[int, int]], tmp_path: Path) -> None:
    data = before + HEADER + ROW
    header = note_early_records(io.BytesIO(data), header_of(data, tmp_path), 100)
    early = find_early_records(io.BytesIO(data), header, 100) if header.first_line > 2 else None
    rows = early.rejected.select("line", "offset", "reason", "raw").rows() if early else []
    assert [row[:3] for row in rows] == [(line, offset, "before_header") for line, offset in found]
    assert all(data[offset:].startswith(raw) and raw.startswith(b"a1") for _, offset, _, raw in rows)
    taken = sum(raw.count(b"\n") + 1 for *_, raw in rows)
    assert (header.early_records, header.preamble_lines) == (len(found), before.count(b"\n") - taken)
    assert header.begin == ((0, 1) if found else (len(before) + len(HEADER), before.count(b"\n") + 2))
