"""What production throws at the reader, each as one file of one real run: the counts, the quarantine and the values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from config import Config
from pipeline import orchestrator
from pipeline.publish.result import RunResult
from tests.harness import HEADER, Silent

GOOD = "{id},u-{id},2026-01-01T00:00:00Z,v,tv,1.1.1.1,{minutes}\n"


@dataclass
class Case:
    """A file; the users whose event is kept; the rejected: (line, reason, raw bytes); or why it is refused."""

    data: bytes
    kept: dict[str, float] = field(default_factory=dict)
    rejected: list[tuple[int, str, bytes]] = field(default_factory=list)
    refused: str = ""


def row(name: str, minutes: str = "1", **changes: str) -> bytes:
    """One good record; ``changes`` replaces fields."""
    fields = {"user": f"u-{name}", "when": "2026-01-01T00:00:00Z", "video": "v", "device": "tv", "ip": "1.1.1.1"}
    fields |= changes
    return ",".join(
        [fields.get("log", name), *(fields[k] for k in ("user", "when", "video", "device", "ip")), minutes]
    ).encode()


def bad(prefix: str, reason: str, lines: list[bytes]) -> Case:
    """Rejected lines from line 2 on, all for one reason."""
    return Case(
        HEADER + b"".join(line + b"\n" for line in lines) + row(prefix) + b"\n",
        {f"u-{prefix}": 1.0},
        [(2 + number, reason, line) for number, line in enumerate(lines)],
    )


NAMES = HEADER.strip().split(b",")
SEMICOLONS = b";".join(NAMES[::-1]) + b";more\n" + b";".join(row("delim").split(b",")[::-1]) + b";x\n"

CASES = {
    "3 line ends": Case(
        HEADER + row("end1") + b"\r\n" + row("end2") + b"\n" + row("end3", "2.5") + b"\r\n\r\n\n" + row("end4", "3"),
        {"u-end1": 1.0, "u-end2": 1.0, "u-end3": 2.5, "u-end4": 3.0},
    ),
    "3 CR alone": Case((HEADER + row("mac") + b"\n").replace(b"\n", b"\r"), refused="carriage return alone"),
    "4 no header": Case(row("none") + b"\n", refused="no header"),
    "4 column missing": Case(HEADER.replace(b"user_id", b"person") + row("none") + b"\n", refused="missing 'user_id'"),
    "4 other delimiter and order": Case(SEMICOLONS, {"u-delim": 1.0}),
    "5 fields": bad("fields", "wrong_field_count", [b"a,b", row("x") + b",", row("x")[:-2], b"  "]),
    "6 empty": bad("w1", "watch_time_missing", [row("x", ""), row("x", '""')]),
    "6 no number": bad("w2", "watch_time_not_a_number", [row("x", t) for t in ("NaN", "inf", '"12,5"', "abc", " 1")]),
    "6 negative": bad("w3", "watch_time_negative", [row("x", "-5")]),
    "6 too large": bad("w4", "watch_time_too_large", [row("x", "1e999"), row("x", "1000000001")]),
    "7 log_id": bad("b1", "blank_log_id", [row("", user="u"), row("  ", user="u"), row('""', user="u")]),
    "7 user_id": bad("b2", "blank_user_id", [row("x", user=""), row("x", user="\u3000")]),
    "9 quotes": Case(
        HEADER
        + row("q1", video='5" screen')
        + b"\n"
        + row("q2", device='"a ""b"", c\n\nd"')
        + b"\n"
        + row("q3", video='"x" y')
        + b"\n"
        + row('"q,4"', user='"u-""q4"""')
        + b"\n",
        {"u-q1": 1.0, "u-q2": 1.0, 'u-"q4"': 1.0},
        [(6, "bad_quote", row("q3", video='"x" y'))],
    ),
    "10 unclosed": Case(
        HEADER + row("o1", video='"oops') + b"\n" + b"".join(row(f"o{n}") + b"\n" for n in range(2, 5)),
        {f"u-o{n}": 1.0 for n in range(2, 5)},
        [(2, "unclosed_quote", row("o1", video='"oops'))],
    ),
    "11 bytes": Case(
        b"\xef\xbb\xbf"
        + HEADER
        + row("n1", video="\0")
        + b"\n"
        + row("n2").replace(b"v,", b"\xff,")
        + b"\n"
        + row("n3"),
        {"u-n3": 1.0},
        [(2, "nul_byte", row("n1", video="\0")), (3, "invalid_utf8", row("n2").replace(b"v,", b"\xff,"))],
    ),
    "11 UTF-16": Case((HEADER + row("x")).decode().encode("utf-16"), refused="UTF-16"),
    "12 empty": Case(b""),
    "12 header only": Case(HEADER),
    "12 concatenated": Case(
        b"# export\n\n" + HEADER + row("c1") + b"\n\xef\xbb\xbf" + HEADER + row("c2") + b"\n" + HEADER,
        {"u-c1": 1.0, "u-c2": 1.0},
        [(5, "repeated_header", b"\xef\xbb\xbf" + HEADER.strip()), (7, "repeated_header", HEADER.strip())],
    ),
    "13 boundaries": Case(
        HEADER + b"".join(row(f"p{n}", video='"é\r\n' + "😀" * (n % 7) + '"') + b"\r\n" for n in range(60)),
        {f"u-p{n}": 1.0 for n in range(60)},
    ),
}


class Published(NamedTuple):
    """The folder of all cases, and the result of one run over them, its totals and its rejected records."""

    folder: Path
    result: RunResult
    totals: pl.DataFrame
    rejected: pl.DataFrame


@pytest.fixture(scope="module", params=[(8 * 2**20, 0), (64, 101)], ids=["whole", "cut to pieces"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One run over all cases: whole files, and files that are cut into small chunks and splits."""
    root = tmp_path_factory.mktemp("cases")
    (root / "in").mkdir()
    for name, case in CASES.items():
        (root / "in" / f"{name}.csv").write_bytes(case.data)
    chunk, split = request.param
    config = Config(
        INPUT_DIR=str(root / "in"),
        INTERMEDIATE_DIR=str(root / "work"),
        OUTPUT_DIR=str(root / "out"),
        ENGINE="polars",
        PREPROCESSING_WORKERS=2,
        CHUNK_BYTES=chunk,
        SPLIT_BYTES=split,
    )
    result = orchestrator.run(config, Silent())
    totals = pl.read_parquet(root / "out" / "*" / "*.parquet")
    rejected = pl.read_parquet(f"{result.quarantine}/rejected.parquet")
    return Published(root / "in", result, totals, rejected)


def test_the_run_balances(published: Published) -> None:
    _, result, totals, rejected = published
    assert result.status == "partial"
    assert result.records_read == result.kept + result.duplicates + result.conflicts + result.rejected
    assert (result.duplicates, result.conflicts) == (0, 0)
    assert result.rejected == len(rejected) == sum(len(case.rejected) for case in CASES.values())
    assert result.kept == totals["event_count"].sum() == sum(len(case.kept) for case in CASES.values())
    assert (result.blank_lines, result.preamble_lines) == (2, 2)


def test_the_totals_are_right(published: Published) -> None:
    totals = dict(published.totals.select("user_id", "total_watch_time_min").iter_rows())
    assert totals == {user: minutes for case in CASES.values() for user, minutes in case.kept.items()}


@pytest.mark.parametrize("name", CASES)
def test_each_bad_record_is_kept_byte_exact_and_each_bad_file_refused(published: Published, name: str) -> None:
    folder, result, _, rejected = published
    path, case = str(folder / f"{name}.csv"), CASES[name]
    found = rejected.filter(pl.col("file") == path).select("line", "reason", "raw", "byte_offset").sort("line").rows()
    assert [record[:3] for record in found] == case.rejected
    assert all(case.data[offset:].startswith(raw) for _, _, raw, offset in found)
    reasons = [file.reason for file in result.refused_files if file.file == path]
    assert bool(reasons) == bool(case.refused)
    assert all(case.refused in reason for reason in reasons)
