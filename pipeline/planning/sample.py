"""A sample of the input: lengths of user ids, and how many rows the result will have."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import expm1

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.geo.addresses import bare_addresses
from pipeline.geo.table import GeoTable
from pipeline.reading.file_access import open_bytes
from pipeline.reading.header import SAMPLES, Header, read_samples
from pipeline.reading.input_files import InputFile
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats

_MAX_FILES = 16
_MAX_BYTES = 2**20
_MAX_PIECE_BYTES = 48 * 2**10
_LONG_PIECE_BYTES = 3 * 2**20
"""A piece of long lines holds at least one that is whole."""
Pair = tuple[bytes, int]
"""(user_id, region code)"""


@dataclass(frozen=True)
class Sample:
    """What the input holds, as far as a sample can tell.

    =====================  =============================================
    ``files``              how many there are
    ``text_bytes``         their size, expanded
    ``rows``               records in them
    ``user_bytes``         mean length of a user_id
    ``packed_user_bytes``  mean length of a user_id when compressed
    ``result_rows``        distinct pairs of user and region
    =====================  =============================================
    """

    files: int = 0
    text_bytes: int = 0
    rows: int = 0
    user_bytes: float = 0.0
    packed_user_bytes: float = 0.0
    result_rows: int = 0


def take_sample(files: Sequence[InputFile], geo: GeoTable, formats: ValueFormats = USUAL_FORMATS) -> Sample:
    """Sample pieces from all over at most 16 of the files, at most 1 MiB in all; skips a file that cannot be read."""
    filled = np.flatnonzero([bool(file.header and file.header.row_width) for file in files])
    number = min(len(filled), _MAX_FILES)
    chosen = [files[filled[len(filled) * n // number]] for n in range(number)]
    long_lines = any(file.header.row_width > _MAX_PIECE_BYTES / 4 for file in chosen if file.header)
    if long_lines:
        chosen = chosen[:: max(1, len(chosen) // 2)]
    rows = int(sum(file.expected_rows for file in files))
    pieces = [pairs for file in chosen for pairs in _pairs(file, geo, formats, _MAX_BYTES // (number * SAMPLES))]
    users = [user for pairs in pieces for user, _ in pairs]
    packed = pa.compress(b"\n".join(users), codec="zstd", asbytes=True) if users else b""
    return Sample(
        files=len(files),
        text_bytes=sum(file.size for file in files),
        rows=rows,
        user_bytes=sum(map(len, users)) / max(1, len(users)),
        packed_user_bytes=len(packed) / max(1, len(users)),
        result_rows=estimate_distinct([set(pairs) for pairs in pieces], rows),
    )


def _pairs(file: InputFile, geo: GeoTable, formats: ValueFormats, piece_bytes: int) -> list[list[Pair]]:
    """The pairs of the whole lines in each piece of a file; skips lines with another number of fields."""
    header = file.header
    assert header, "only files with a header are sampled"
    user, address = header.columns["user_id"], header.columns["ip_address"]
    delimiter = header.delimiter.encode()
    found = []
    try:
        with open_bytes(file.expanded.spool if file.expanded else file.path, stop=0) as stream:
            pieces = read_samples(stream, header.data_start, _piece_size(header, piece_bytes))
    except OSError:
        return []  # Phase 1 will report why
    for piece in pieces:
        lines = [line.split(delimiter) for line in piece.split(b"\n")[1:-1]]
        fields = [line for line in lines if len(line) == header.fields]
        texts = pl.Series([line[address].decode("ascii", errors="replace") for line in fields], dtype=pl.String)
        regions = geo.lookup(bare_addresses(texts, formats.addresses, formats.proxies)).tolist()
        found.append(list(zip((line[user] for line in fields), regions, strict=True)))
    return found


def _piece_size(header: Header, piece_bytes: int) -> int:
    """Bytes of a piece: where lines are long, enough for some of them, as far as their sampled length tells."""
    usual = min(piece_bytes, _MAX_PIECE_BYTES)
    return max(usual, _LONG_PIECE_BYTES) if header.row_width > _MAX_PIECE_BYTES / 4 else usual


def estimate_distinct(pieces: Sequence[set[Pair]], rows: int) -> int:
    """How many distinct pairs ``rows`` rows hold, estimated from those in each of some pieces of the input.

    First, how many pairs exist: Chao (1987), Biometrics 43(4), for incidence data, bias-corrected, from how many
    pairs occur in one piece alone and how many in two. Lines that lie together, such as those of one session, are one
    occurrence. Then, how many of them ``rows`` rows show if all are equally frequent.
    """
    occurrences = Counter(pair for piece in pieces for pair in piece)
    frequencies = Counter(occurrences.values())
    once, twice = frequencies[1], frequencies[2]
    exist = len(occurrences) + once * max(0, once - 1) / (2 * (twice + 1))
    return min(rows, round(exist * -expm1(-rows / exist))) if exist else 0
