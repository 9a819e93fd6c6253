"""A glance at the input: some lines of some files tell how long user ids are and how many rows the result will have."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1

import polars as pl
import pyarrow as pa

from pipeline.geo.table import GeoTable
from pipeline.reading.header import SAMPLES, read_samples
from pipeline.reading.input_files import InputFile

_MOST_FILES = 16
_MOST_BYTES = 2**20
_MOST_PLACE_BYTES = 48 * 2**10
Pair = tuple[bytes, int]


@dataclass(frozen=True)
class Sample:
    """What the input seems to hold. ``rows``: records, of ``text_bytes`` bytes in all, in ``files``; ``user_bytes``:
    mean length of a user_id, and ``packed_user_bytes`` when it is compressed; ``result_rows``: users by region."""

    files: int = 0
    text_bytes: int = 0
    rows: int = 0
    user_bytes: float = 0.0
    packed_user_bytes: float = 0.0
    result_rows: int = 0


def take_sample(files: Sequence[InputFile], geo: GeoTable) -> Sample:
    """Look at places all over at most 16 files, at most 1 MiB in all. A file that cannot be read tells nothing."""
    filled = [file for file in files if file.header and file.header.row_width]
    chosen = (
        [filled[len(filled) * n // _MOST_FILES] for n in range(_MOST_FILES)] if len(filled) > _MOST_FILES else filled
    )
    rows = int(sum(file.expected_rows for file in files))
    places = [pairs for file in chosen for pairs in _pairs(file, geo, _MOST_BYTES // (len(chosen) * SAMPLES))]
    users = [user for pairs in places for user, _ in pairs]
    packed = pa.compress(b"\n".join(users), codec="zstd", asbytes=True) if users else b""
    return Sample(
        files=len(files),
        text_bytes=sum(file.size for file in files),
        rows=rows,
        user_bytes=sum(map(len, users)) / max(1, len(users)),
        packed_user_bytes=len(packed) / max(1, len(users)),
        result_rows=_expected_distinct([set(pairs) for pairs in places], rows),
    )


def _pairs(file: InputFile, geo: GeoTable, place_bytes: int) -> list[list[Pair]]:
    """(user_id, region) of the lines in each place of a file, as far as plain lines have them."""
    header = file.header
    assert header, "only files with a header are looked at"
    user, address = header.columns["user_id"], header.columns["ip_address"]
    delimiter = header.delimiter.encode()
    found = []
    try:
        with open(file.expanded.spool if file.expanded else file.path, "rb") as stream:
            pieces = read_samples(stream, header.data_start, min(place_bytes, _MOST_PLACE_BYTES))
    except OSError:
        return []  # Phase 1 says what is wrong with it
    for piece in pieces:
        lines = [line.split(delimiter) for line in piece.split(b"\n")[1:-1]]
        fields = [line for line in lines if len(line) == header.fields]
        addresses = [line[address].decode("ascii", errors="replace") for line in fields]
        regions = geo.lookup(pl.Series(addresses, dtype=pl.String)).tolist()
        found.append(list(zip((line[user] for line in fields), regions, strict=True)))
    return found


def _expected_distinct(places: Sequence[set[Pair]], rows: int) -> int:
    """How many distinct pairs ``rows`` rows hold, judged by how many were met in one place alone and in two.

    The number that exists is estimated after Chao (1987, incidence data, bias-corrected); lines that lie together,
    such as those of one session, do not mislead it. Then, as if all were equally frequent, how many of them occur.
    """
    met = Counter(pair for place in places for pair in place)
    often = Counter(met.values())
    once, twice = often[1], often[2]
    exist = len(met) + once * max(0, once - 1) / (2 * (twice + 1))
    return min(rows, round(exist * -expm1(-rows / exist))) if exist else 0
