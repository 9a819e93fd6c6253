"""Files put together from pieces whose meaning is known: what a reader must find is never read back from the bytes."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

COLUMNS = ("log_id", "user_id", "timestamp", "video_id", "device_type", "ip_address", "watch_time(min)")
MAX_RECORD = 400
SERIAL = "~{:05d}~"
"""Stands in every log_id and user of a file, so that its share of a run's result can be told from the others'."""


Content = tuple[str, str, int]
"""What decides the result: (user, region, micro-minutes)."""


@dataclass(frozen=True)
class Event:
    """A record that counts; ``micro`` in micro-minutes."""

    log_id: str
    user: str
    ip: str
    micro: int


@dataclass(frozen=True)
class Piece:
    """Some bytes of a file and what they are: a record that counts, a rejected one (reason, raw), or neither."""

    data: bytes
    event: Event | None = None
    reject: tuple[str, bytes] | None = None
    blank: int = 0
    preamble: int = 0

    @property
    def is_record(self) -> bool:
        return bool(self.event or self.reject)


@dataclass(frozen=True)
class Dialect:
    """How the file around the pollution is written."""

    delimiter: str
    end: bytes
    start: bytes = b""


DIALECTS = (
    Dialect(",", b"\n"),
    Dialect(";", b"\r\n"),
    Dialect("\t", b"\n", b"\xef\xbb\xbf"),
    Dialect("|", b"\r\n", b"# exported\r\n"),
)


@dataclass(frozen=True)
class Row:
    """A good record; the fields are texts (surrogates stand for bytes that are no text)."""

    log_id: str
    user_id: str
    ip_address: str
    halves: int
    timestamp: str = "2026-01-01T00:00:00Z"
    video_id: str = "film"
    device_type: str = "tv"

    @property
    def event(self) -> Event:
        return Event(self.log_id, self.user_id, self.ip_address, self.halves * 500_000)

    def fields(self, **texts: str) -> list[str]:
        """The fields in the file's order; ``texts`` are written instead of values (``watch`` for the watch time)."""
        values = {name: getattr(self, name) for name in COLUMNS[:-1]} | {"watch": str(self.halves / 2)}
        return list((values | texts).values())


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Place:
    """Where a pollution goes: ``row`` is to be damaged, ``spare`` is another good row that it may use."""

    dialect: Dialect
    row: Row
    spare: Row

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter

    @property
    def end(self) -> bytes:
        return self.dialect.end

    def line(self, row: Row | None = None, **texts: str) -> bytes:
        """The bytes of a row without its line end."""
        return encode(self.delimiter.join((row or self.row).fields(**texts)))

    def good(self, row: Row | None = None, *, end: bytes | None = None, means: dict | None = None, **texts) -> Piece:
        """A row that counts, some fields written as ``texts``; ``means``: values that differ from the row's."""
        event = replace((row or self.row).event, **(means or {}))
        return Piece(self.line(row, **texts) + (self.end if end is None else end), event)

    def bad(self, reason: str, raw: bytes | str | None = None, *, end: bytes | None = None, **texts) -> Piece:
        """A rejected record: ``raw``, or the row with some fields written as ``texts``."""
        raw = encode(raw) if isinstance(raw, str) else raw
        raw = self.line(**texts) if raw is None else raw
        return Piece(raw + (self.end if end is None else end), reject=(reason, raw[:MAX_RECORD]))

    def blank(self, end: bytes | None = None) -> Piece:
        return Piece(self.end if end is None else end, blank=1)


@dataclass
class PollutedFile:
    """A file and the truth about it. ``refused``: a part of the reason, where the whole file must be refused."""

    name: str
    serial: str
    pieces: list[Piece]
    refused: str = ""
    transform: str = field(default="utf-8")

    @cached_property
    def data(self) -> bytes:
        data = b"".join(piece.data for piece in self.pieces)
        return data if self.transform == "utf-8" else data.decode("utf-8").encode(self.transform)

    @property
    def anonymous(self) -> bytes:
        """The bytes without the serial, by which alone no two files may differ."""
        plain = b"".join(piece.data for piece in self.pieces)
        return self.transform.encode() + plain.replace(self.serial.encode(), b"~")

    def _placed(self) -> Iterator[tuple[int, int, Piece]]:
        offset, line = 0, 1
        for piece in self.pieces:
            yield line, offset, piece
            offset += len(piece.data)
            line += piece.data.count(b"\n")

    @property
    def rejects(self) -> list[tuple[int, int, str, bytes]]:
        """(line from 1, byte offset, reason, raw) in order."""
        return [(line, offset, *piece.reject) for line, offset, piece in self._placed() if piece.reject]

    @property
    def events(self) -> list[tuple[int, Event]]:
        """(byte offset, event) in order."""
        return [(offset, piece.event) for _, offset, piece in self._placed() if piece.event]

    @property
    def records(self) -> int:
        return sum(piece.is_record for piece in self.pieces)

    @property
    def blank_lines(self) -> int:
        return sum(piece.blank for piece in self.pieces)

    @property
    def preamble_lines(self) -> int:
        return sum(piece.preamble for piece in self.pieces)

    def contents(self, region_of: Callable[[str], str]) -> dict[str, set[Content]]:
        """The distinct contents of every log_id."""
        found: dict[str, set[Content]] = defaultdict(set)
        for _, event in self.events:
            found[event.log_id].add((event.user, region_of(event.ip), event.micro))
        return found

    def totals(self, region_of: Callable[[str], str]) -> dict[tuple[str, str], tuple[int, int]]:
        """(region, user) -> (micro-minutes, events): the longest of every log_id counts, at a tie the smaller user."""
        totals: dict[tuple[str, str], tuple[int, int]] = {}
        for contents in self.contents(region_of).values():
            user, region, micro = min(contents, key=lambda content: (-content[2], *map(encode, content[:2])))
            total, count = totals.get((region, user), (0, 0))
            totals[region, user] = (total + micro, count + 1)
        return totals


def header_pieces(dialect: Dialect, names: Iterable[str] = COLUMNS, end: bytes | None = None) -> list[Piece]:
    """What stands before the records."""
    start = [Piece(dialect.start, preamble=dialect.start.count(b"\n"))] if dialect.start else []
    return [*start, Piece(encode(dialect.delimiter.join(names)) + (dialect.end if end is None else end))]


def rows_of(serial: str, count: int) -> list[Row]:
    """Good rows: every seventh from the third on repeats the one two before, every seventh from the fifth corrects."""
    rows: list[Row] = []
    for n in range(count):
        if n % 7 == 3:
            rows.append(rows[n - 2])
        elif n % 7 == 5:
            rows.append(replace(rows[n - 3], halves=rows[n - 3].halves + 1))
        else:
            rows.append(Row(f"{serial}{n}", f"{serial}{'ab'[n % 2]}", f"10.0.0.{1 + n % 3 % 2}", 2 * n + 1))
    return rows


def filler(dialect: Dialect, serial: str, name: str, length: int) -> list[Piece]:
    """Good rows that take exactly ``length`` bytes (at least 200, or none)."""
    if length == 0:
        return []
    rows = []
    while length:
        row = Row(f"{serial}{name}{len(rows):03d}", f"{serial}{name}", "10.0.0.1", 2 * len(rows) + 1)
        place = Place(dialect, row, row)
        bare = len(place.good(video_id="").data)
        take = length if length < 200 else 90
        rows.append(place.good(video_id="p" * (take - bare)))
        assert len(rows[-1].data) == take, "too short for a row"
        length -= take
    return rows
