"""Says why a file has no header: another format, other line ends, or what the line most like a header lacks."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from pipeline.reading.column_names import (
    DELIMITERS,
    HEADER_LINES,
    MARK,
    RULE_COLUMN,
    Names,
    alike,
    match_line,
    setting_of,
    split_fields,
)
from pipeline.reading.file_access import open_bytes
from pipeline.reading.log_ids import ID_PART

OTHER_FORMATS = {
    b"\x1f\x8b": "gzip data (if it is compressed once, name it .csv.gz; if twice, expand the outer layer)",
    b"\x28\xb5\x2f\xfd": "zstd data (if it is compressed once, name it .csv.zst; if twice, expand the outer layer)",
    b"BZh": "bzip2 data (expand it, or compress it with gzip or zstd)",
    b"\xfd7zXZ": "xz data (expand it, or compress it with gzip or zstd)",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook (extract or export it as CSV)",
    b"PAR1": "a Parquet file (export it as CSV)",
}
"""First bytes of files that are no text → what the file is. Compared only where no header was found."""

_OLD_MAC = (
    "lines end in a carriage return alone (CR, as on old Macs), expected LF or CRLF. Convert it, e.g. tr '\\r' '\\n'."
)

NAMES_FOLLOW = " has: "
"""In a reason, the fields of a line follow these words. The line may be a record, so logs leave the fields out."""

_MISSING = re.compile(
    r"no header in the first \d+ lines: missing (?P<absent>.*?) under every delimiter of , ; TAB \| SPACE\."
    rf"(?:.*?{NAMES_FOLLOW}(?P<fields>.*?)(?: and \d+ more)?\.(?: Is .*)?$)?",
    re.DOTALL,
)
"""The reasons that ``_describe_no_header`` gives."""

USUAL_NAMES = {
    "log_id": "log_id",
    "user_id": "user_id",
    "timestamp": "timestamp",
    "ip_address": "ip_address",
    "watch_time": "watch_time(min)",
}
"""Role → the name of its column where no setting gives others."""

_STEP = 2**20
_MOST_COUNTED = 2**30
"""NUL bytes that are counted at most; a hole in a file can have any size."""


def without_fields(reason: str) -> str:
    """The reason of a refusal, less the sentence that shows the fields of a line, if there is one."""
    beginning, names_follow, _ = reason.partition(NAMES_FOLLOW)
    return beginning.rpartition(". ")[0] + "." if names_follow else reason


def missing_columns(reason: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """(setting → usual name, of each column that the reason of a refusal misses; the fields of the line that it shows).

    Both are empty where the reason is another. Settings are those of a column, such as ``USER_ID_COLUMN``.
    """
    found = _MISSING.match(reason)
    if not found:
        return {}, ()
    absent = re.findall(r"'([^']*)'", found["absent"])
    settings = {usual: f"{role.upper()}_COLUMN" for role, usual in USUAL_NAMES.items()}
    fields = tuple(found["fields"].removesuffix(".").split(", ")) if found["fields"] else ()
    return {settings[name]: name for name in absent if name in settings}, fields


def explain_no_header(path: str | Path, lines: Sequence[bytes], wanted: Names, optional: Names, max_record: int) -> str:
    """The reason why none of the first ``lines`` of ``path`` is a header, as a sentence."""
    for magic, found_format in OTHER_FORMATS.items():
        if lines[0].startswith(magic):
            return f"expected CSV text, found {found_format}."
    if lines[0].startswith(b"\0"):
        return _describe_nul_bytes(path)
    if any(match_line(piece, wanted, optional) for line in lines for piece in line.split(b"\r")[:-1]):
        return _OLD_MAC
    if broken := _find_broken_header(lines, wanted):
        return broken
    overlong = any(len(line) > max_record + 1 and not line.endswith(b"\n") for line in lines)
    hint = f" One of them is longer than MAX_RECORD_BYTES ({max_record}), too long for a header." if overlong else ""
    return _describe_no_header(lines, wanted) + hint


def _describe_nul_bytes(path: str | Path) -> str:
    """Name the NUL bytes with which ``path`` begins, and how many they are."""
    count = 0
    with open_bytes(path) as stream:
        while piece := stream.read(_STEP):
            rest = piece.lstrip(b"\0")
            count += len(piece) - len(rest)
            if rest or count >= _MOST_COUNTED:
                break
    number = f"{count:,}" if count < _MOST_COUNTED else f"more than {_MOST_COUNTED:,}"
    return (
        f"it begins with {number} NUL {'byte' if count == 1 else 'bytes'} instead of a header: a log truncated in "
        "place while its writer went on at the old position. Cut them off, e.g. tr -d '\\000', and give it a header."
    )


def _find_broken_header(lines: Sequence[bytes], wanted: Names) -> str | None:
    """Name a header that has a line end inside a quoted name; None if there is none."""
    for number, line in enumerate(lines):
        quotes = line.count(b'"')
        last = number
        while quotes % 2 and last + 1 < len(lines):
            last += 1
            quotes += lines[last].count(b'"')
        if last == number or quotes % 2:
            continue
        text = b"".join(lines[number : last + 1]).rstrip(b"\r\n").decode("utf-8", errors="replace").lstrip(MARK)
        for delimiter in DELIMITERS:
            names = split_fields(text, delimiter) or ()
            if _likeness(names, wanted) == len(wanted):
                column = next(column for column, name in enumerate(names, start=1) if "\n" in name)
                return (
                    f"the header on line {number + 1} has a line end inside the quoted name of its column {column}, "
                    "expected a header of one line. Remove it, or close the quote, so that all names stand on one "
                    "line."
                )
    return None


def _describe_no_header(lines: Sequence[bytes], wanted: Names) -> str:
    """Say what the line that is most like a header lacks."""
    number, names = max(
        ((number, _names(line, d)) for d in DELIMITERS for number, line in enumerate(lines, 1)),
        key=lambda found: (_likeness(found[1], wanted), len(found[1])),
    )
    listed = ", ".join(name[:40] for name in names[:20]) or "(nothing readable)"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    there = {alike(name) for name in names}
    missing: dict[str, tuple[str, ...]] = {}
    for role in sorted(wanted, key=lambda role: role.startswith(ID_PART)):  # a part of the id may be another's column
        aliases = wanted[role]
        if not {*map(alike, aliases)} & there and aliases not in missing.values():
            missing[role] = aliases
    absent = ", ".join(repr(aliases[0]) for aliases in missing.values())
    if not _likeness(names, wanted):  # the line may be a record, and its fields values, which no message shows
        count = f"{len(names)} fields" if len(names) > 1 else "one field"
        return (
            f"no header in the first {HEADER_LINES} lines: missing {absent} under every delimiter of , ; TAB | SPACE. "
            f"No line has any of these names; line {number} has the most fields, {count}. If the header has "
            "other names, say which (USER_ID_COLUMN and the like); if the file has no header, name its columns in "
            "COLUMNS."
        )
    hints = "".join(_hint(role, aliases, names, wanted) for role, aliases in missing.items())
    return (
        f"no header in the first {HEADER_LINES} lines: missing {absent} under every delimiter of "
        f", ; TAB | SPACE. {'The first line' if number == 1 else f'Line {number}'}{NAMES_FOLLOW}{listed}{more}.{hints}"
    )


def _names(line: bytes, delimiter: str) -> tuple[str, ...]:
    text = line.rstrip(b"\r\n").decode("utf-8", errors="replace").lstrip(MARK)
    return split_fields(text, delimiter) or ()


def _likeness(names: tuple[str, ...], wanted: Names) -> int:
    """Number of wanted columns that are among ``names``, by letters and digits alone."""
    plain = {_plain(name) for name in names}
    return sum(any(_plain(alias) in plain for alias in aliases) for aliases in wanted.values())


def _hint(role: str, aliases: tuple[str, ...], names: tuple[str, ...], wanted: Names) -> str:
    """Name the column whose name is close to that of the missing one, and the setting; empty if no name is close.

    Accepted names of other roles are not suggested. A name may be a value, because the line may be a record.
    """
    of_a_rule = role.startswith(RULE_COLUMN)
    accepted = set() if of_a_rule else {alias for others in wanted.values() for alias in others}
    free = {_plain(name): name for name in reversed(names) if name not in accepted and _plain(name)}
    for alias in aliases:
        close = get_close_matches(_plain(alias), free, n=1)
        if close:
            name = free[close[0]][:80]
            what = "name it in" if of_a_rule else "add it to"
            return f" Is {name!r} the {aliases[0]!r}? Then {what} {setting_of(role)}."
    return ""


def _plain(name: str) -> str:
    """The letters and digits of a name in one case, without spaces, underscores and the like."""
    return "".join(character for character in name.casefold() if character.isalnum())
