"""Names of columns: how the names of a header are compared, and which columns they stand for."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple

from pipeline.errors import FileRefused
from pipeline.reading.log_ids import ID_PART

Names = Mapping[str, tuple[str, ...]]
"""Role → accepted header names."""

NO_NAMES: Names = MappingProxyType({})

HEADER_LINES = 20
"""Number of lines among which the header is searched; as many lines behind it tell how records end."""

DELIMITERS = (",", ";", "\t", "|", " ")
"""Delimiters in the order in which they are tried. The space is the last, because texts hold spaces."""

RULE_COLUMN = "column "
"""Prefix of the role of a column that is read for a rule alone; the column's name follows."""

WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""The characters with Unicode's property White_Space. (``str.strip`` alone would take U+001C to U+001F, too.)"""

MARK = "\ufeff"
"""The byte-order mark."""

FIELDS_DIRECTIVE = "#fields:"
"""What a W3C extended log has before the names of its columns."""


class Layout(NamedTuple):
    """What a header line says: the delimiter, all names, and role → index of the column in ``names``, from 0."""

    delimiter: str
    names: tuple[str, ...]
    columns: Mapping[str, int]


def layouts_alike(one: Layout, other: Layout) -> bool:
    """Whether records are read alike by two layouts; columns that nobody needs may have other names."""
    same = one.delimiter == other.delimiter and len(one.names) == len(other.names) and one.columns == other.columns
    return same and all(one.names[index] == other.names[index] for index in one.columns.values())


def shown(name: str) -> str:
    """A name without byte-order marks and white space around it, and without ``#`` before it."""
    return name.strip(WHITE_SPACE + MARK).lstrip("#").strip(WHITE_SPACE)


def alike(name: str) -> str:
    """What two names have in common that are one name: no case, no white space around it, no ``#`` before it."""
    return shown(name).casefold()


def match_line(line: bytes, wanted: Names, optional: Names) -> Layout | None:
    """What a header line says; None if the line is no header, because it does not name all ``wanted`` columns.

    Raises FileRefused where two columns have accepted names of one role, or one column has those of two roles.
    """
    for delimiter, names in ways_to_split(line):
        columns = find_columns(names, wanted, optional)
        if columns is not None:
            return Layout(delimiter, names, columns)
    return None


def ways_to_split(line: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """(delimiter, names) of a line under each delimiter by which it has more than one name.

    The names behind ``#Fields:`` are divided by white space, whatever divides the records, and first as such.
    """
    text = _text_of(line)
    ways: list[tuple[str, tuple[str, ...]]] = []
    if _announces_fields(text):
        text = text[len(FIELDS_DIRECTIVE) :].strip(WHITE_SPACE)
        ways.append((" ", tuple(text.split())))
    split = ((delimiter, split_fields(text, delimiter)) for delimiter in DELIMITERS)
    ways += [(delimiter, tuple(map(shown, names))) for delimiter, names in split if names]
    return [(delimiter, names) for delimiter, names in ways if len(names) > 1]


def _text_of(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode("utf-8", errors="replace").lstrip(MARK)


def _announces_fields(text: str) -> bool:
    return text.casefold().startswith(FIELDS_DIRECTIVE)


def split_fields(text: str, delimiter: str) -> tuple[str, ...] | None:
    """Split the text of one record into fields (RFC 4180); None where a quoted field is malformed."""
    fields: list[str] = []
    rest = text
    while True:
        if rest.startswith('"'):
            value, closed, rest = _read_quoted(rest)
            if not closed or not (rest == "" or rest.startswith(delimiter)):
                return None
            fields.append(value)
            if rest == "":
                return tuple(fields)
            rest = rest[1:]
        else:
            value, found, rest = rest.partition(delimiter)
            fields.append(value)
            if not found:
                return tuple(fields)


def _read_quoted(text: str) -> tuple[str, bool, str]:
    """(value of the quoted field, whether the field closes, text behind it) of a text that begins with a quote."""
    pieces: list[str] = []
    start = 1
    while (end := text.find('"', start)) >= 0:
        pieces.append(text[start:end])
        if not text.startswith('"', end + 1):
            return '"'.join(pieces), True, text[end + 1 :]
        start = end + 2
    return "", False, ""


def find_columns(names: Sequence[str], wanted: Names, optional: Names) -> dict[str, int] | None:
    """Role → index of its column in ``names``; None where a ``wanted`` column is missing.

    A name that is accepted as it is goes before names that are only alike. Raises FileRefused as ``match_line``.
    """
    common = [alike(name) for name in names]
    found: dict[str, list[int]] = {}
    for role, aliases in {**wanted, **optional}.items():
        indices = [index for index, name in enumerate(names) if name in aliases]
        if not indices:
            accepted = {alike(alias) for alias in aliases}
            indices = [index for index, name in enumerate(common) if name in accepted]
        if indices:
            found[role] = indices
        elif role in wanted:
            return None
    for role, indices in found.items():
        if len(indices) > 1:
            raise FileRefused(_describe_ambiguous(role, [names[index] for index in indices]))
    columns = {role: indices[0] for role, indices in found.items()}
    owners: dict[int, str] = {}
    for role, index in columns.items():
        if not role.startswith((RULE_COLUMN, ID_PART)) and owners.setdefault(index, role) != role:
            raise FileRefused(
                f"the column {names[index]!r} of the header is accepted for {owners[index]} and for {role}: which is "
                f"meant? Rename it, or remove it from {setting_of(owners[index])} or {setting_of(role)}."
            )
    return columns


def _describe_ambiguous(role: str, names: list[str]) -> str:
    if len(set(names)) == 1:
        return f"the header has more than one column named {names[0]!r}: which is meant? Rename all but one."
    return (
        f"the header has more than one column for {role.removeprefix(RULE_COLUMN)}: {', '.join(names)}. Rename all but "
        f"one, or accept one name only in {setting_of(role)}."
    )


def setting_of(role: str) -> str:
    """The setting that names the column of a role."""
    if role.startswith(ID_PART):
        return "LOG_ID_COLUMNS"
    return "RECORD_RULES" if role.startswith(RULE_COLUMN) else f"{role.upper()}_COLUMN"


def find_names(line: bytes, present: Layout) -> tuple[str, tuple[str, ...]] | None:
    """(Delimiter, names) of a line that names columns, whether or not a header can be made of them; None for a record.

    Two different ones are those of required columns of the ``present`` layout, or of any of its columns and at least
    half of all. Spaces divide names only where they are the delimiter of the records, or all names are known, because a
    text may hold any words. Behind ``#Fields:`` any two names are columns.
    """
    announced, known = _announces_fields(_text_of(line)), _common_names(present.names)
    required = _common_names(tuple(present.names[at] for role, at in present.columns.items() if _is_required(role)))
    for way, names in ways_to_split(line):
        common = [alike(name) for name in names]
        found = [name for name in common if announced or name in known]
        enough = 2 * len(found) >= len(names) or len(required.intersection(found)) > 1
        enough = enough and (way != " " or present.delimiter == " ")
        if len(set(found) - {""}) > 1 and (enough or len(found) == len(names)):
            return way, names
    return None


def _is_required(role: str) -> bool:
    return role != "timestamp" and not role.startswith(RULE_COLUMN)


@lru_cache(maxsize=16)
def _common_names(names: tuple[str, ...]) -> frozenset[str]:
    """What the names have in common with those that are alike, less blank ones."""
    return frozenset(map(alike, names)) - {""}


def fit_to_records(layout: Layout, lines: Sequence[bytes]) -> Layout:
    """``layout`` as the ``lines`` behind the header need it, by the most of them that decide.

    Records may end with a delimiter, so that they have one field more than the header has names, a blank one; then
    the layout gets a column without a name. If the header alone ends with a delimiter, its last column goes. Records
    behind ``#Fields:`` may be divided by tabs. Lines behind a further header are of another log.
    """
    texts = _texts_of(lines, layout)
    delimiters = (" ", "\t") if layout.delimiter == " " else (layout.delimiter,)
    delimiter = max(delimiters, key=lambda one: _count_fitting(texts, one, len(layout.names)))  # of equals the first
    fields = [values or () for values in _split_records(texts, delimiter)]
    names = layout.names
    number = len(names)
    as_many = sum(len(values) == number for values in fields)
    if sum(len(values) == number + 1 and values[-1] == "" for values in fields) > as_many:
        names = (*names, "")
    elif names[-1] == "" and sum(len(values) == number - 1 for values in fields) > as_many:
        names = names[:-1]
    return Layout(delimiter, names, layout.columns)


def _texts_of(lines: Sequence[bytes], layout: Layout) -> list[str]:
    """The lines as texts, up to the next header, less blank ones and comments."""
    lines = list(takewhile(lambda line: not find_names(line, layout), lines))
    texts = [line.rstrip(b"\r\n").decode("utf-8", errors="replace") for line in lines]
    return [text for text in texts if text and not text.startswith("#")]


def count_fitting(lines: Sequence[bytes], layout: Layout, number: int) -> int:
    """How many of the lines, up to the next header, have so many fields, or one more that is blank."""
    return _count_fitting(_texts_of(lines, layout), layout.delimiter, number)


def _count_fitting(texts: Sequence[str], delimiter: str, number: int) -> int:
    return sum(_fits(values, number) for values in _split_records(texts, delimiter))


def _split_records(texts: Sequence[str], delimiter: str) -> Iterator[tuple[str, ...] | None]:
    """The fields of the records on these lines; a quoted field may go on over several. None for a malformed line."""
    at = 0
    while at < len(texts):
        stops = range(at + 1, len(texts) + 1)
        found = ((stop, split_fields("\n".join(texts[at:stop]), delimiter)) for stop in stops)
        stop, values = next((one for one in found if one[1] is not None), (at + 1, None))
        yield values
        at = stop


def _fits(values: tuple[str, ...] | None, number: int) -> bool:
    """Whether a record has so many fields, or one more that is blank."""
    return values is not None and (len(values) == number or (len(values) == number + 1 and values[-1] == ""))


def layout_of(names: tuple[str, ...], lines: Sequence[bytes], wanted: Names, optional: Names) -> Layout:
    """The layout of a file without a header, whose columns have these ``names`` (COLUMNS).

    The delimiter is the one under which the most of the ``lines``, up to the next header, have as many fields. Raises
    FileRefused where ``names`` lack a wanted column, or no line has as many fields.
    """
    columns = find_columns(names, wanted, optional)
    if columns is None:
        there = {alike(name) for name in names}
        lacking = [aliases[0] for aliases in wanted.values() if not {*map(alike, aliases)} & there]
        raise FileRefused(
            f"it has no header, and COLUMNS lacks {', '.join(map(repr, lacking))}. Name all columns there."
        )
    texts = {delimiter: _texts_of(lines, Layout(delimiter, names, columns)) for delimiter in DELIMITERS}
    counts = {delimiter: _count_fitting(texts[delimiter], delimiter, len(names)) for delimiter in DELIMITERS}
    delimiter = max(counts, key=lambda one: counts[one])
    if any(texts.values()) and not counts[delimiter]:
        raise FileRefused(
            f"it has no header, and none of its first lines has the {len(names)} fields of COLUMNS under any delimiter "
            "of , ; TAB | SPACE. Name all columns in COLUMNS, in the order of the fields."
        )
    return Layout(delimiter, names, columns)
