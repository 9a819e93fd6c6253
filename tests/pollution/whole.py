"""Pollutions of a whole file: its header, what stands before it, its encoding, and where it was cut off."""

from collections.abc import Callable, Iterator

from tests.pollution.build import (
    COLUMNS,
    DIALECTS,
    SERIAL,
    Dialect,
    Piece,
    Place,
    PollutedFile,
    encode,
    header_pieces,
    rows_of,
)

ROWS = 6
NO_HEADER = "no header"
MARK = b"\xef\xbb\xbf"


def body(dialect: Dialect, serial: str, write: Callable[[list[str]], list[str]] = list) -> list[Piece]:
    """Good rows, their fields rearranged by ``write``."""
    rows = rows_of(serial, ROWS)
    return [Piece(encode(dialect.delimiter.join(write(row.fields()))) + dialect.end, row.event) for row in rows]


def rearranged(write: Callable[[list[str]], list[str]]) -> Callable:
    """Header and rows with the same change."""
    return lambda d, s: [*header_pieces(d, write(list(COLUMNS))), *body(d, s, write)]


def header_only_changed(write: Callable[[list[str]], list[str]]) -> Callable:
    return lambda d, s: [*header_pieces(d, write(list(COLUMNS))), *body(d, s)]


def renamed(old: str, new: str) -> Callable:
    return header_only_changed(lambda names: [new if name == old else name for name in names])


def after(*lines: bytes | str | tuple[str, ...]) -> Callable:
    """Lines before the header; the fields of a tuple are delimited as the file's."""

    def build(d: Dialect, s: str) -> list[Piece]:
        start = [Piece(MARK)] if d.start == MARK else []
        plain = Dialect(d.delimiter, d.end)
        texts = [d.delimiter.join(line) if isinstance(line, tuple) else line for line in lines]
        before = [Piece((encode(t) if isinstance(t, str) else t) + d.end, preamble=1) for t in texts]
        return [*start, *before, *header_pieces(plain), *body(d, s)]

    return build


def only(data: Callable[[Dialect, str], bytes]) -> Callable:
    """Bytes without any record."""
    return lambda d, s: [Piece(data(d, s))]


def cut_to(length: Callable[[bytes], int]) -> Callable:
    """A file that was cut off in its header."""

    def build(d: Dialect, _: str) -> list[Piece]:
        *start, header = header_pieces(d)
        return [*start, Piece(header.data[: length(header.data)])]

    return build


def all_rejected(reason: str, write: Callable[[list[str]], list[str]]) -> Callable:
    """A good header over rows that are all rejected for one reason."""

    def build(d: Dialect, s: str) -> list[Piece]:
        places = [Place(d, row, row) for row in rows_of(s, ROWS)]
        return [*header_pieces(d), *(p.bad(reason, d.delimiter.join(write(p.row.fields()))) for p in places)]

    return build


def header_with_end(end: bytes) -> Callable:
    return lambda d, s: [*header_pieces(d, end=end), *body(d, s)]


ACCEPTED = {
    "nothing polluted": rearranged(list),
    "columns reversed": rearranged(lambda fields: fields[::-1]),
    "columns rotated": rearranged(lambda fields: [*fields[3:], *fields[:3]]),
    "extra column last": rearranged(lambda fields: [*fields, "more"]),
    "extra column first": rearranged(lambda fields: ["more", *fields]),
    "unnamed column last": rearranged(lambda fields: [*fields, ""]),
    "eighty extra columns": rearranged(lambda fields: [*fields, *(f"c{n}" for n in range(80))]),
    "extra columns of one name": rearranged(lambda fields: [*fields, "more", "more"]),
    "only the required columns": rearranged(lambda fields: [*fields[:2], *fields[-2:]]),
    "header quoted": header_only_changed(lambda names: [f'"{name}"' for name in names]),
    "header in capitals": header_only_changed(lambda names: [name.upper() for name in names]),
    "spaces in the header": header_only_changed(lambda names: [f" {name}" for name in names]),
    "everything quoted": rearranged(lambda fields: [f'"{field}"' for field in fields]),
    "header ends with LF": header_with_end(b"\n"),
    "header ends with CRLF": header_with_end(b"\r\n"),
    "ignored column renamed": renamed("video_id", "the film's title (é)"),
    "blank line before": after(""),
    "title before": after("Activity log", ""),
    "nineteen lines before": after(*(f"# {n}" for n in range(19))),
    "key and value before": after(("exported", "2026-01-01")),
    "another header before": after(COLUMNS[:6]),
    "invalid bytes before": after(b"\xe9\xff\x00", '"unclosed'),
    "header and no record": lambda d, _: header_pieces(d),
    "header without line end": cut_to(lambda header: len(header.rstrip(b"\r\n"))),
    "header cut in its line end": cut_to(lambda header: len(header) - 1),
    "blank lines alone": lambda d, _: [*header_pieces(d), *(Piece(d.end, blank=1) for _ in range(5))],
    "every row too short": all_rejected("wrong_field_count", lambda fields: fields[:-1]),
    "every row too long": all_rejected("wrong_field_count", lambda fields: [*fields, "x"]),
    "every row with spaces": all_rejected("watch_time_not_a_number", lambda fields: [f" {field}" for field in fields]),
    "header doubled": lambda d, s: [
        *header_pieces(d),
        Place(d, *rows_of(s, 2)).bad("repeated_header", d.delimiter.join(COLUMNS)),
        *body(d, s),
    ],
    "types under the header": lambda d, s: [
        *header_pieces(d),
        Place(d, *rows_of(s, 2)).bad("watch_time_not_a_number", d.delimiter.join(["string"] * 6 + ["double"])),
        *body(d, s),
    ],
    "twice the same file": lambda d, s: [
        *header_pieces(d),
        *body(d, s),
        Place(d, *rows_of(s, 2)).bad("repeated_header", d.delimiter.join(COLUMNS)),
        *body(d, s),
    ],
}

REFUSED = {
    "no header": (lambda d, s: body(d, s), NO_HEADER),
    "header in single quotes": (header_only_changed(lambda names: [f"'{name}'" for name in names]), NO_HEADER),
    "header quoted as one": (
        header_only_changed(lambda names: ['"' + names[0], *names[1:-1], names[-1] + '"']),
        NO_HEADER,
    ),
    "header with an unclosed quote": (header_only_changed(lambda names: ['"' + names[0], *names[1:]]), NO_HEADER),
    **{
        f"{name} renamed": (renamed(name, "other"), repr(name))
        for name in ("log_id", "user_id", "ip_address", "watch_time(min)")
    },
    **{
        f"{name} missing": (rearranged(lambda fields, at=at: fields[:at] + fields[at + 1 :]), NO_HEADER)
        for at, name in ((0, "log_id"), (1, "user_id"), (5, "ip_address"), (6, "watch time"))
    },
    "log_id twice": (rearranged(lambda fields: [*fields, fields[0]]), "more than one column"),
    "watch time twice": (rearranged(lambda fields: [fields[6], *fields]), "more than one column"),
    "header on two lines": (
        lambda d, s: [
            *header_pieces(d, COLUMNS[:3]),
            *header_pieces(Dialect(d.delimiter, d.end), COLUMNS[3:]),
            *body(d, s),
        ],
        NO_HEADER,
    ),
    "twenty lines before": (after(*(f"# {n}" for n in range(20))), NO_HEADER),
    "delimited by colons": (lambda d, s: [*header_pieces(Dialect(":", d.end, d.start)), *body(d, s)], NO_HEADER),
    "delimited by carets": (lambda d, s: [*header_pieces(Dialect("^", d.end, d.start)), *body(d, s)], NO_HEADER),
    "delimiters of two bytes": (lambda d, _: header_pieces(Dialect(":" + d.delimiter, d.end, d.start)), NO_HEADER),
    "header cut": (cut_to(lambda header: len(header) - 9), NO_HEADER),
    "compressed": (only(lambda _, s: b"\x1f\x8b\x08\x00" + encode(s) + bytes(range(256))), "gzip data"),
    "a spreadsheet": (
        only(lambda d, s: b"PK\x03\x04" + encode(s) + d.delimiter.encode() + bytes(range(99))),
        "ZIP archive",
    ),
    "another table": (
        only(lambda d, s: encode(d.delimiter.join(["user", s]) + "\n1" + d.delimiter + "2\n")),
        NO_HEADER,
    ),
    "EBCDIC": (only(lambda d, s: encode(d.delimiter.join([*COLUMNS, s])).decode().encode("cp500")), NO_HEADER),
    "JSON": (only(lambda d, s: encode('{"log_id": "' + s + '"}') + d.end), NO_HEADER),
}

TRANSFORMS = {"utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32": "UTF-16"}


def whole_files(first: int) -> Iterator[PollutedFile]:
    """All of these in every dialect; serials count from ``first``."""
    number = first
    for name, build in ACCEPTED.items():
        for dialect in DIALECTS:
            serial = SERIAL.format(number)
            yield PollutedFile(name, serial, build(dialect, serial))
            number += 1
    for name, (build, reason) in REFUSED.items():
        for dialect in DIALECTS:
            serial = SERIAL.format(number)
            yield PollutedFile(name, serial, build(dialect, serial), reason)
            number += 1
    for transform, reason in TRANSFORMS.items():
        for dialect in DIALECTS:
            serial = SERIAL.format(number)
            pieces = [*header_pieces(Dialect(dialect.delimiter, dialect.end)), *body(dialect, serial)]
            yield PollutedFile(transform, serial, pieces, reason, transform)
            number += 1
    serial = SERIAL.format(number)
    yield PollutedFile("zero bytes", serial, [])
    yield PollutedFile("a byte-order mark", serial, [Piece(MARK)])
