"""Pollutions of one record, by the categories of the Pollock benchmark (Vitagliano et al., VLDB 2023), each with what
the contract of records makes of it.

``(ended)`` in a name: not as the very last bytes of a file, where the missing line end would change the meaning.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.pollution.build import COLUMNS, MAX_RECORD, Piece, Place, encode

COUNT, QUOTE, UNCLOSED = "wrong_field_count", "bad_quote", "unclosed_quote"
NUMBER, MISSING = "watch_time_not_a_number", "watch_time_missing"


def other(p: Place) -> str:
    """A delimiter that is not the file's."""
    return ";" if p.delimiter != ";" else ","


def again(p: Place) -> Piece:
    """The file's own header, behind which its own columns hold again."""
    return p.bad("repeated_header", p.delimiter.join(COLUMNS))


def written(p: Place, line: str) -> Piece:
    """The row as it is written in another table."""
    return Piece(encode(line) + p.end, p.row.event)


def padded(p: Place, length: int, start: str = "", stop: str = "") -> bytes:
    """The row with a video that makes it ``length`` bytes long."""
    bare = len(p.line(video_id=start + stop))
    return p.line(video_id=start + "x" * (length - bare) + stop)


def counted(raw: bytes, p: Place) -> Piece:
    return Piece(raw + p.end, p.row.event)


def beyond(p: Place, raw: bytes) -> list[Piece]:
    """A quoted record of four lines, the second blank, that is too long to be one: each line for itself."""
    first, _, third, last = raw.split(b"\n")
    return [p.bad(UNCLOSED, first, end=b"\n"), p.blank(b"\n"), p.bad(COUNT, third, end=b"\n"), p.bad(COUNT, last)]


DELIMITERS = {
    "delimiter in quotes": lambda p: [p.good(video_id=f'"a{p.delimiter}b"')],
    "only delimiters in quotes": lambda p: [p.good(device_type=f'"{p.delimiter * 6}"')],
    "delimiter in a quoted user": lambda p: [
        p.good(user_id=f'"{p.row.user_id}{p.delimiter}x"', means={"user": f"{p.row.user_id}{p.delimiter}x"})
    ],
    "delimiter without quotes": lambda p: [p.bad(COUNT, video_id=f"a{p.delimiter}b")],
    "delimiter missing": lambda p: [p.bad(COUNT, p.delimiter.join(p.row.fields()[:5]) + p.delimiter + "10.0.0.1 1.5")],
    "delimiter first": lambda p: [p.bad(COUNT, p.delimiter.encode() + p.line())],
    "delimiter last": lambda p: [p.bad(COUNT, p.line() + p.delimiter.encode())],
    "delimiters doubled": lambda p: [p.bad(COUNT, (p.delimiter * 2).join(p.row.fields()))],
    "another delimiter": lambda p: [p.bad(COUNT, other(p).join(p.row.fields()))],
    "another delimiter in a value": lambda p: [p.good(video_id=f"a{other(p)}b")],
    "delimited by spaces": lambda p: [p.bad(COUNT, " ".join(p.row.fields()))],
    "delimiter and space": lambda p: [p.bad(NUMBER, (p.delimiter + " ").join(p.row.fields()))],
    "delimiters alone": lambda p: [p.bad("blank_log_id", p.delimiter * 6)],
    "too many delimiters alone": lambda p: [p.bad(COUNT, p.delimiter * 70)],
}

QUOTES = {
    "every field quoted": lambda p: [counted(encode(p.delimiter.join(f'"{f}"' for f in p.row.fields())), p)],
    "quotes in quotes": lambda p: [p.good(user_id=f'"{p.row.user_id}""q"""', means={"user": f'{p.row.user_id}"q"'})],
    "quote inside a field": lambda p: [p.good(device_type='5" screen')],
    "quote at the end of a field": lambda p: [p.good(device_type='tv"')],
    "two quotes inside a field": lambda p: [
        p.good(user_id=p.row.user_id + '""x', means={"user": p.row.user_id + '""x'})
    ],
    "space before the quote": lambda p: [p.good(user_id=f' "{p.row.user_id}"', means={"user": f' "{p.row.user_id}"'})],
    "space after the quote": lambda p: [p.bad(QUOTE, video_id='"a" ')],
    "text after the quote": lambda p: [p.bad(QUOTE, video_id='"a" b')],
    "quoted twice": lambda p: [p.bad(QUOTE, video_id='"a""b"c"d"')],
    "quotes around a quoted word": lambda p: [p.bad(QUOTE, video_id='""a""')],
    "three quotes around": lambda p: [p.good(video_id='"""a"""')],
    "quoted and empty": lambda p: [p.good(video_id='""')],
    "quoted and blank id": lambda p: [p.bad("blank_log_id", log_id='" "')],
    "quoted and empty user": lambda p: [p.bad("blank_user_id", user_id='""')],
    "quoted number": lambda p: [p.good(watch=f'"{p.row.halves / 2}"')],
    "unclosed, first field": lambda p: [p.bad(UNCLOSED, log_id='"' + p.row.log_id)],
    "unclosed, middle field": lambda p: [p.bad(UNCLOSED, video_id='"oops')],
    "unclosed, last field": lambda p: [p.bad(UNCLOSED, watch='"1.5')],
    "unclosed after a doubled quote": lambda p: [p.bad(UNCLOSED, video_id='"oops""')],
    "unclosed, the quote alone": lambda p: [p.bad(UNCLOSED, '"')],
    "three quotes alone": lambda p: [p.bad(UNCLOSED, '"""')],
    "unclosed in two records": lambda p: [p.bad(QUOTE, video_id='"a'), p.bad(UNCLOSED, video_id='"b')],
    "unclosed, then a good quoted record": lambda p: [
        p.bad(QUOTE, video_id='"a'),
        p.good(p.spare, video_id='"b"'),
    ],
    "closed on the next line, fields missing": lambda p: [
        p.bad(COUNT, p.delimiter.join(p.row.fields()[:3]) + p.delimiter + '"a'),
        p.bad(COUNT, f'b"{p.delimiter}tv'),
    ],
    "closed on the next line, a good record within": lambda p: [
        p.bad(COUNT, p.delimiter.join(p.row.fields()[:3]) + p.delimiter + '"a'),
        p.good(p.spare, device_type='5"'),
    ],
    "single quotes": lambda p: [p.good(video_id="'a'")],
    "delimiter in single quotes": lambda p: [p.bad(COUNT, video_id=f"'a{p.delimiter}b'")],
    "typographic quotes": lambda p: [p.good(video_id="“a”")],
    "delimiter in typographic quotes": lambda p: [p.bad(COUNT, video_id=f"“a{p.delimiter}b”")],
}

ESCAPES = {
    "backslash": lambda p: [p.good(video_id="a\\b\\n")],
    "backslash before a quote": lambda p: [p.bad(QUOTE, video_id='"a \\" b"')],
    "backslash before the closing quote": lambda p: [p.good(video_id='"C:\\"')],
    "backslash before a delimiter": lambda p: [p.bad(COUNT, video_id=f"a\\{p.delimiter}b")],
    "backslash before the line end": lambda p: [
        p.bad(COUNT, p.delimiter.join(p.row.fields()[:4]) + "\\"),
        p.bad(COUNT, p.delimiter.join(p.row.fields()[4:])),
    ],
    "quote escaped by an apostrophe": lambda p: [p.bad(QUOTE, video_id='"a \'" b"')],
    "null as in databases": lambda p: [p.bad(NUMBER, watch="\\N")],
    "formula": lambda p: [p.good(user_id="=" + p.row.user_id, means={"user": "=" + p.row.user_id})],
}

RECORD_ENDS = {
    "LF": lambda p: [p.good(end=b"\n")],
    "CRLF": lambda p: [p.good(end=b"\r\n")],
    "CR CR LF (ended)": lambda p: [Piece(p.line() + b"\r\r\n", reject=(NUMBER, p.line() + b"\r"))],
    "LF CR": lambda p: [
        p.good(end=b"\n"),
        p.good(replace(p.spare, log_id="\r" + p.spare.log_id)),
    ],
    "CR": lambda p: [p.bad(COUNT, p.line() + b"\r" + p.line(p.spare))],
    "vertical tab": lambda p: [p.bad(COUNT, p.line() + b"\x0b" + p.line(p.spare))],
    "record separator": lambda p: [p.bad(COUNT, p.line() + b"\x1e" + p.line(p.spare))],
    "U+2028": lambda p: [p.bad(COUNT, p.line() + "\u2028".encode() + p.line(p.spare))],
    "U+0085 in a value": lambda p: [p.good(video_id="a\x85b")],
    "CR in a value": lambda p: [p.good(video_id="a\rb")],
    "blank line": lambda p: [p.good(), p.blank(), p.good(p.spare)],
    "blank line first": lambda p: [p.blank(), p.good()],
    "blank lines of both kinds": lambda p: [p.good(), p.blank(b"\n"), p.blank(b"\r\n"), p.blank(b"\n")],
    "line of spaces": lambda p: [p.good(), p.bad(COUNT, "   ")],
    "LF in quotes": lambda p: [p.good(video_id='"a\nb"')],
    "CRLF in quotes": lambda p: [p.good(video_id='"a\r\nb"')],
    "LF in a quoted user": lambda p: [
        p.good(user_id=f'"{p.row.user_id}\n\r\n"', means={"user": p.row.user_id + "\n\r\n"})
    ],
    "blank lines in quotes": lambda p: [p.good(device_type='"\n\n\r\n\n"')],
    "a record in quotes": lambda p: [p.good(video_id='"\n' + p.line(p.spare).decode() + '\n"')],
    "line ends in every field but numbers": lambda p: [
        p.good(timestamp='"\n"', video_id='"\r\n"', device_type='"a\n"', watch=f'"{p.row.halves / 2}"')
    ],
}

HEADERS_AND_TABLES = {
    "header again": lambda p: [p.bad("repeated_header", p.delimiter.join(COLUMNS))],
    "header again with a mark": lambda p: [p.bad("repeated_header", "\ufeff" + p.delimiter.join(COLUMNS))],
    "header again in quotes": lambda p: [p.bad("repeated_header", p.delimiter.join(f'"{name}"' for name in COLUMNS))],
    "header again with another delimiter": lambda p: [p.bad("repeated_header", other(p).join(COLUMNS)), again(p)],
    "header again in capitals": lambda p: [p.bad("repeated_header", p.delimiter.join(COLUMNS).upper())],
    "header that lacks columns": lambda p: [
        p.bad("unusable_header", p.delimiter.join(COLUMNS[:3])),
        p.bad("unusable_header"),
        again(p),
    ],
    "header of another table": lambda p: [p.bad(NUMBER, p.delimiter.join(f"column {n}" for n in range(7)))],
    "comment": lambda p: [p.bad(COUNT, "# a comment")],
    "footer": lambda p: [p.good(), p.bad(COUNT, "7 records")],
    "preamble of a second file": lambda p: [
        p.blank(),
        p.bad(COUNT, "# exported"),
        p.bad("repeated_header", p.delimiter.join(COLUMNS)),
        p.good(),
    ],
    "a narrower table": lambda p: [
        p.good(),
        p.blank(),
        p.bad(COUNT, p.delimiter.join(["user_id", "name"])),
        p.bad(COUNT, p.delimiter.join(["u1", "Ann"])),
    ],
    "a wider table": lambda p: [
        p.bad("repeated_header", p.delimiter.join([*COLUMNS, "more"])),
        written(p, p.delimiter.join([*p.row.fields(), "x"])),
        again(p),
        p.good(p.spare),
    ],
    "the table again with another delimiter": lambda p: [
        p.bad("repeated_header", other(p).join(COLUMNS)),
        written(p, other(p).join(p.row.fields())),
        again(p),
        p.good(p.spare),
    ],
    "ruler": lambda p: [p.bad(COUNT, "-" * 40), p.good()],
}

ENCODINGS = {
    "accents, Han, emoji": lambda p: [p.good(user_id=p.row.user_id + "é漢😀", means={"user": p.row.user_id + "é漢😀"})],
    "Latin-1": lambda p: [p.bad("invalid_utf8", video_id="caf\udce9")],
    "Latin-1 in quotes": lambda p: [p.bad("invalid_utf8", video_id='"caf\udce9"')],
    "Latin-1 in quoted lines": lambda p: [p.bad("invalid_utf8", video_id='"a\ncaf\udce9\nb"')],
    "cut character": lambda p: [p.bad("invalid_utf8", video_id="\udcf0\udc9f\udc98")],
    "cut character at the line end": lambda p: [p.bad("invalid_utf8", watch="1\udce6\udcbc")],
    "surrogate": lambda p: [p.bad("invalid_utf8", video_id="\udced\udca0\udc80")],
    "overlong": lambda p: [p.bad("invalid_utf8", video_id="\udcc0\udc80")],
    "beyond Unicode": lambda p: [p.bad("invalid_utf8", video_id="\udcf4\udc90\udc80\udc80")],
    "invalid and too few fields": lambda p: [p.bad("invalid_utf8", "\udcff")],
    "NUL": lambda p: [p.bad("nul_byte", video_id="a\0b")],
    "NUL in quotes": lambda p: [p.bad("nul_byte", video_id='"a\0\nb"')],
    "NULs alone": lambda p: [p.bad("nul_byte", "\0" * 60)],
    "mark in the middle": lambda p: [p.good(replace(p.row, log_id="\ufeff" + p.row.log_id))],
    "decomposed accents": lambda p: [
        p.good(user_id=p.row.user_id + "e\u0301", means={"user": p.row.user_id + "e\u0301"})
    ],
    "control characters": lambda p: [p.good(video_id="\x01\x07\x1b[31m\x7f")],
    "no-break space as id": lambda p: [p.bad("blank_log_id", log_id="\xa0")],
    "zero-width space as user": lambda p: [p.good(video_id="\u200b")],
}

TRUNCATIONS = {
    **{
        f"cut after {n} fields": (lambda p, n=n: [p.bad(COUNT, p.delimiter.join(p.row.fields()[:n]))])
        for n in range(1, 7)
    },
    "cut in a quoted field": lambda p: [p.bad(UNCLOSED, p.delimiter.join([*p.row.fields()[:3], '"half of a fi']))],
    "beginning lost": lambda p: [p.bad(COUNT, p.delimiter.join(p.row.fields()[2:]))],
    "two halves": lambda p: [p.bad(COUNT, p.line()[:30] + p.line(p.spare)[-12:])],
    "cut before the watch time": lambda p: [p.bad(MISSING, watch="")],
    "one field too many": lambda p: [p.bad(COUNT, p.line() + p.delimiter.encode() + b"more")],
    "the record twice on a line": lambda p: [p.bad(COUNT, p.line() + p.delimiter.encode() + p.line())],
    "the longest record": lambda p: [counted(padded(p, MAX_RECORD), p)],
    "the longest record, in lines": lambda p: [counted(padded(p, MAX_RECORD, '"a\n\n', '\n"'), p)],
    "the longest record, in lines, and one byte": lambda p: beyond(p, padded(p, MAX_RECORD + 1, '"a\n\n', '\nz"')),
    "too long": lambda p: [p.bad("record_too_long", padded(p, MAX_RECORD + 1))],
    "too long, quoted": lambda p: [p.bad("record_too_long", padded(p, MAX_RECORD + 9, '"', '"'))],
    "quoted lines beyond the limit": lambda p: [
        p.bad(UNCLOSED, p.delimiter.join([*p.row.fields()[:3], '"'])),
        p.bad(COUNT, "x" * (MAX_RECORD - 100)),
        p.bad(COUNT, "y" * 99),
        p.bad(COUNT, p.delimiter.join(['z"', *p.row.fields()[4:]])),
    ],
}

VALUES = {
    **{
        f"watch time {text!r}": (lambda p, text=text, reason=reason: [p.bad(reason, watch=text)])
        for text, reason in {
            "": MISSING,
            " ": MISSING,
            "NaN": NUMBER,
            "inf": NUMBER,
            "abc": NUMBER,
            "1 000": NUMBER,
            "0x10": NUMBER,
            "１": NUMBER,
            "1.5.2": NUMBER,
            "-5": "watch_time_negative",
            "1e999": "watch_time_too_large",
            "1000000000.1": "watch_time_too_large",
        }.items()
    },
    "decimal comma in quotes": lambda p: [p.bad(NUMBER, watch='"12,5"')],
    "blank log_id": lambda p: [p.bad("blank_log_id", log_id="")],
    "blank user_id": lambda p: [p.bad("blank_user_id", user_id="\u3000 ")],
    "no timestamp": lambda p: [p.good(timestamp="")],
    "no address": lambda p: [p.good(ip_address="", means={"ip": ""})],
    "address that is none": lambda p: [p.good(ip_address="999.1.1.x", means={"ip": "999.1.1.x"})],
    "exponent": lambda p: [p.good(watch="25e-1", means={"micro": 2_500_000})],
    "tie to even": lambda p: [p.good(watch="0.0000025", means={"micro": 2})],
    "minus nothing": lambda p: [p.good(watch="-0", means={"micro": 0})],
}

CATEGORIES: dict[str, dict[str, Callable[[Place], list[Piece]]]] = {
    "delimiters": DELIMITERS,
    "quotes": QUOTES,
    "escapes": ESCAPES,
    "record ends": RECORD_ENDS,
    "headers and tables": HEADERS_AND_TABLES,
    "encodings": ENCODINGS,
    "truncations": TRUNCATIONS,
    "values": VALUES,
}
