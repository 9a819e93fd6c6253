"""Where in a file a pollution strikes: first, middle, last; and across the bounds of chunks and splits."""

from collections.abc import Callable, Iterator, Sequence

from tests.pollution.build import DIALECTS, SERIAL, Piece, Place, PollutedFile, filler, header_pieces, rows_of
from tests.pollution.records import CATEGORIES
from tests.pollution.whole import whole_files

CHUNK_BYTES = 1100
SPLIT_BYTES = 1500
_BEFORE = 1000

Pollution = Callable[[Place], Sequence[Piece]]

POSITIONS = ("first", "middle", "last", "unended")
CUTS = ("before", "after one byte", "in the middle", "before the last byte", "after")
"""Where the bound lies in the polluted bytes."""


def plain_file(number: int, name: str, pollution: Pollution, position: str) -> PollutedFile:
    """Eight rows of which one is polluted, the middle one a copy of another; ``unended``: last, no line end."""
    dialect, serial = DIALECTS[number % len(DIALECTS)], SERIAL.format(number)
    *rows, spare = rows_of(serial, 9)
    at = {"first": 0, "middle": 3}.get(position, len(rows) - 1)
    damage = list(pollution(Place(dialect, rows[at], spare)))
    if position == "unended":
        damage[-1] = _without_end(damage[-1])
    good = [Place(dialect, row, spare).good() for row in rows]
    return PollutedFile(f"{name}, {position}", serial, [*header_pieces(dialect), *good[:at], *damage, *good[at + 1 :]])


def _without_end(piece: Piece) -> Piece:
    data = piece.data.removesuffix(b"\n").removesuffix(b"\r")
    return Piece(data, piece.event, piece.reject, piece.blank if data else 0)


def boundary_file(number: int, name: str, pollution: Pollution, cut: str, *, split: bool) -> PollutedFile:
    """The first chunk, or the first of two splits, ends at ``cut`` of the polluted bytes."""
    dialect, serial = DIALECTS[number % len(DIALECTS)], SERIAL.format(number)
    row, spare = rows_of(serial, 2)
    damage = list(pollution(Place(dialect, row, spare)))
    length = sum(len(piece.data) for piece in damage)
    inside = dict(zip(CUTS, (0, 1, length // 2, length - 1, length), strict=True))[cut]
    if split:
        before, after = _BEFORE, _BEFORE + 2 * inside - length
        assert SPLIT_BYTES < before + length + after <= 2 * SPLIT_BYTES, "two splits"
        assert (before + length + after) // 2 == before + inside
    else:
        before, after = CHUNK_BYTES - inside, 300
    pieces = [
        *header_pieces(dialect),
        *filler(dialect, serial, "before", before),
        *damage,
        *filler(dialect, serial, "after", after),
    ]
    return PollutedFile(f"{name}, {'split' if split else 'chunk'} ends {cut}", serial, pieces)


def _spread(name: str, pollution: Pollution, first: int) -> Iterator[tuple[str, PollutedFile]]:
    """(kind of run, file) for every position; the serial, counted from ``first``, decides the dialect."""
    number = first
    for position in POSITIONS:
        if position == "unended" and name.endswith("(ended)"):
            continue
        for _ in range(2):  # dialects of the four: with LF and with CRLF
            yield "whole", plain_file(number, name, pollution, position)
            number += 1
    for cut in CUTS:
        for kind in ("chunk", "split"):
            yield kind, boundary_file(number, name, pollution, cut, split=kind == "split")
            number += 1


def polluted_files() -> dict[str, list[PollutedFile]]:
    """The files of each kind of run: ``whole``, ``chunk`` (CHUNK_BYTES) and ``split`` (SPLIT_BYTES)."""
    kinds: dict[str, list[PollutedFile]] = {"whole": [], "chunk": [], "split": []}
    seen: set[bytes] = set()
    number = 1
    for category, pollutions in CATEGORIES.items():
        for name, pollution in pollutions.items():
            for kind, file in _spread(f"{category}: {name}", pollution, number):
                number += 1
                if file.anonymous not in seen:  # another line end is none where it is the file's own
                    seen.add(file.anonymous)
                    kinds[kind].append(file)
    for file in whole_files(number):
        if file.anonymous not in seen:
            seen.add(file.anonymous)
            kinds["whole"].append(file)
    return kinds
