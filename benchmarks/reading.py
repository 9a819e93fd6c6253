"""``python -m benchmarks.reading``: how fast one core reads logs whose records have quotes, and logs with damage.

Phase 1's reader alone, in this process: bytes to verified rows and rejected records, without duplicates and files of
the exchange. Processor time, the best of some rounds in which the kinds take turns, because other programs disturb it
least.
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as in a worker; Polars reads it when it is imported

from pipeline.exchange.split_rows import SplitRows
from pipeline.geo.table import load_geo_table
from pipeline.machine import cache_folder
from pipeline.native.build import compile_library
from pipeline.preprocess.enrichment import enrich
from pipeline.reading.compiled_parser import CompiledParser
from pipeline.reading.csv_reader import SplitReader
from pipeline.reading.header import Header, read_header
from pipeline.reading.splits import Split
from utils.units import parse_size

NAMES = ("log_id", "user_id", "timestamp", "video_id", "device_type", "ip_address", "watch_time(min)")
_ROLES = {"log_id": "log_id", "user_id": "user_id", "ip_address": "ip_address", "watch_time": "watch_time(min)"}
_CHUNK_BYTES, _MAX_RECORD = 2 << 20, 1 << 20

_JSON = '"{""title"":""abc"",""ep"":7}"'
Change = Callable[[list[str]], object]
"""Changes the fields of a record in place."""


def _put(index: int, value: Callable[[str], str]) -> Change:
    return lambda fields: fields.__setitem__(index, value(fields[index]))


_JSON_COLUMN = _put(3, lambda _: _JSON)
_LINE_END = _put(3, lambda text: f'"{text}\nsecond line"')


@dataclass(frozen=True)
class Kind:
    """A log whose records are all changed by ``every``, and ``share`` of them also by ``some``."""

    name: str
    every: Change = list
    some: Change = list
    share: float = 0.0
    line_end: str = "\n"


KINDS = (
    Kind("plain"),
    Kind("one field quoted, with a comma", _put(4, lambda text: f'"{text}, large"')),
    Kind("a JSON column in every record", _JSON_COLUMN),
    Kind("a JSON column in 10 %", some=_JSON_COLUMN, share=0.1),
    Kind("a JSON column in 1 %", some=_JSON_COLUMN, share=0.01),
    Kind("a quoted line end in every record", _LINE_END),
    Kind("a quoted line end in 10 %", some=_LINE_END, share=0.1),
    Kind("a quoted line end in 1 %", some=_LINE_END, share=0.01),
    Kind("doubled quotes in log_id and user_id", lambda f: [_put(i, lambda t: f'"{t} ""x"""')(f) for i in (0, 1)]),
    Kind(
        "every field quoted, CRLF",
        lambda fields: fields.__setitem__(slice(None), [f'"{f}"' for f in fields]),
        line_end="\r\n",
    ),
    Kind("a quote inside an unquoted field", _put(4, lambda text: f'{text} 5"')),
    Kind("plain, 0.1 % damaged", some=_put(4, lambda text: f'"{text}'), share=0.001),
    Kind("JSON, 0.1 % damaged", _JSON_COLUMN, _put(4, lambda text: f'"{text}'), 0.001),
    Kind("JSON, 1 % damaged", _JSON_COLUMN, _put(4, lambda text: f'"{text}'), 0.01),
    Kind("JSON, 1 % with a field too many", _JSON_COLUMN, _put(4, lambda text: f"{text},more"), 0.01),
    Kind("JSON, 1 % not UTF-8", _JSON_COLUMN, _put(4, lambda text: f"{text}\udcff"), 0.01),
    Kind("JSON, 1 % without a watch time", _JSON_COLUMN, _put(6, lambda _: ""), 0.01),
)


def make_log(kind: Kind, size: int) -> bytes:
    """A log of about ``size`` bytes."""
    random = np.random.default_rng(7)
    lines: list[str] = []
    length = number = 0
    block = 50_000
    while length < min(size, 16_000_000):
        users, tenths, ips, chosen = (random.integers(0, top, block).tolist() for top in (10**6, 1200, 2**24, 10**6))
        for user, tenth, ip, luck in zip(users, tenths, ips, chosen, strict=True):
            number += 1
            fields = [
                f"evt-{10**11 + number}",
                f"u{user:09d}",
                f"2026-11-{number // 9999 % 28 + 1:02d}T10:{number // 60 % 60:02d}:{number % 60:02d}Z",
                f"v{number % 50_000:06d}",
                "mobile",
                f"{ip % 200 + 11}.{ip >> 8 & 255}.{ip >> 16}.7",
                f"{tenth // 10}.{tenth % 10}",
            ]
            kind.every(fields)
            if luck < kind.share * 10**6:
                kind.some(fields)
            lines.append(",".join(fields))
            length += len(lines[-1])
    text = (kind.line_end.join(lines) + kind.line_end).encode(errors="surrogateescape")
    return (",".join(NAMES) + kind.line_end).encode() + text * max(1, round(size / len(text)))


class Reader:
    """Reads logs as a worker does, with one geo table for all of them."""

    def __init__(self) -> None:
        library, reason = compile_library(cache_folder())
        if library is None:
            raise SystemExit(f"error: there is no compiled library: {reason}")
        self._library, self._geo = library, load_geo_table(None, "region", None, cache_folder())

    def read(self, path: Path) -> tuple[float, int, int]:
        """(seconds of processor time, rows, rejected records)."""
        header = read_header(path, {role: (name,) for role, name in _ROLES.items()}, _MAX_RECORD)
        assert header is not None
        begin = time.process_time()
        rows, rejected = self._read(path, header)
        return time.process_time() - begin, rows, rejected

    def _read(self, path: Path, header: Header) -> tuple[int, int]:
        size = path.stat().st_size
        rows = SplitRows(timestamps=False)
        rows.reserve(int(size / header.row_width * 1.05), int(size / header.row_width * 17))
        split = Split(0, str(path), size, header.data_start, size, True, header)
        parser = CompiledParser(self._library, header, self._geo, rows, _MAX_RECORD)
        rejected = 0
        with path.open("rb") as stream:
            for batch in SplitReader(split, stream, _CHUNK_BYTES, _MAX_RECORD, parser):
                if len(batch.rows):
                    rows.append(enrich(batch.rows, self._geo))
                rejected += len(batch.rejected)
        return rows.count, rejected


def main(argv: Sequence[str]) -> int:
    """Print a table, and write it as a page if one is named."""
    options = _parse(argv)
    reader = Reader()
    chosen = [kind for kind in KINDS if options.kinds in kind.name]
    best: dict[str, float] = {}
    counts: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = {kind.name: Path(folder) / f"{number}.csv" for number, kind in enumerate(chosen)}
        for kind in chosen:
            paths[kind.name].write_bytes(make_log(kind, options.size))
        for _ in range(options.rounds):
            for name, path in paths.items():
                seconds, *found = reader.read(path)
                counts[name] = found[0], found[1]
                best[name] = max(path.stat().st_size / 1e6 / seconds, best.get(name, 0.0))
    page = render(best, counts, shlex.join(["python", "-m", "benchmarks.reading", *argv]))
    print(page)
    if options.report:
        options.report.write_text(page, encoding="utf-8")
    return 0


def render(best: Mapping[str, float], counts: Mapping[str, tuple[int, int]], command: str) -> str:
    """The page: for each kind the speed (MB a second of processor time), its share of the first kind's, and counts."""
    first = next(iter(best.values()))
    lines = [
        "# How fast records with quotes are read",
        "",
        f"Made by `{command}`. The reader of Phase 1 alone, on one core: bytes to verified rows and rejected records.",
        "Megabytes of a log for each second of processor time; the best of all rounds.",
        "",
        "| records | MB/s and core | of plain | rows | rejected |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, speed in best.items():
        rows, rejected = counts[name]
        lines.append(f"| {name} | {speed:.0f} | {speed / first:.2f} | {rows:,} | {rejected:,} |")
    return "\n".join([*lines, ""])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="64MB", help="bytes of each log (64MB)")
    parser.add_argument("--rounds", type=int, default=3, help="readings of each log, of which the fastest counts (3)")
    parser.add_argument("--kinds", default="", help="only kinds whose name has this text")
    parser.add_argument("--folder", type=Path, default=None, help="where the logs are written (the temporary folder)")
    parser.add_argument("--report", type=Path, default=None, help="the page to write (none)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
