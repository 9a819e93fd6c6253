"""A slow and obvious reference of the whole job, written from the contracts of the design, not from the code.

One byte at a time, one record at a time, dicts and exact decimals: what the program must find for any files whatever.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from itertools import takewhile

ROLES = {
    "log_id": "log_id",
    "user_id": "user_id",
    "ip_address": "ip_address",
    "watch_time": "watch_time(min)",
    "timestamp": "timestamp",
}
MALFORMED = "malformed"
"""The quoting or the number of fields is wrong: the contract tells these apart for people only."""
MALFORMED_REASONS = {"bad_quote", "unclosed_quote", "wrong_field_count"}
WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""The characters with Unicode's property White_Space."""
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Event:
    """One accepted record; ``micro`` in micro-minutes, ``timestamp`` as ``moment`` or None."""

    log_id: str
    user_id: str
    ip_address: str
    micro: int
    timestamp: int | None


@dataclass
class FileTruth:
    """What one file holds. Lines count from 1, offsets in bytes from 0; both are where a record begins."""

    events: list[tuple[int, Event]] = field(default_factory=list)
    rejects: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    blank_lines: int = 0
    preamble_lines: int = 0

    @property
    def records(self) -> int:
        return len(self.events) + len(self.rejects)


@dataclass(frozen=True)
class RunTruth:
    """The result and the totals of a run; ``totals``: (region, user) -> (micro-minutes, events)."""

    totals: Mapping[tuple[str, str], tuple[int, int]]
    records: int
    kept: int
    duplicates: int
    conflicts: int
    losers: Counter[tuple[str, str, str, int]]
    rejected: Counter[str]
    blank_lines: int


@dataclass(frozen=True)
class Layout:
    """How records are read: the delimiter (a byte), all names, and role -> number of the column; no columns where the
    header lacks one, so that nothing is read by it."""

    delimiter: int
    names: tuple[str, ...]
    columns: Mapping[str, int]

    @property
    def essence(self) -> object:
        """What decides how records are read and called."""
        read = {role: (number, self.names[number]) for role, number in self.columns.items()}
        return self.delimiter, len(self.names), read


def read_file(
    data: bytes, max_record: int, *, timestamps: bool = False, columns: tuple[str, ...] = ()
) -> FileTruth | None:
    """Read a whole file by the contract of records; None where it has no header and is refused."""
    truth = FileTruth()
    begin = 0
    while data[begin : begin + 3] == b"\xef\xbb\xbf":
        begin += 3
    if begin == len(data):
        return truth
    found = _find_header(data, begin, timestamps, columns, max_record)
    if found is None:
        return None
    layout, position, line, before = found
    early = [] if before == 0 else _records_before(data, begin, layout, position, max_record)
    truth.rejects += [(number, at, "before_header", raw) for number, at, raw in early]
    truth.preamble_lines = before - sum(raw.count(b"\n") + 1 for _, _, raw in early)
    while position < len(data):
        end = _line_end(data, position)
        if end == position:
            truth.blank_lines += 1
            position, line = _after(data, end), line + 1
            continue
        raw, reason, texts = _read_record(data, position, layout, max_record)
        following = _after(data, position + len(raw))
        if reason is None:
            when = moment(texts["timestamp"]) if timestamps else None
            micro, _ = micro_minutes(texts["watch_time"])
            truth.events.append((position, Event(texts["log_id"], texts["user_id"], texts["ip_address"], micro, when)))
        else:
            new, word = _later_header(raw[:max_record], layout, data[following:], timestamps)
            truth.rejects.append((line, position, word or reason, raw[:max_record]))
            layout = new or layout
        line += data.count(b"\n", position, following)
        position = following
    return truth


def _read_record(
    data: bytes, position: int, layout: Layout, max_record: int
) -> tuple[bytes, str | None, dict[str, str]]:
    """(its bytes, why it is rejected or None, role -> text) of the record at ``position``."""
    raw, texts = data[position : _line_end(data, position)], {}
    try:
        values, stop = _read_fields(data, position, layout.delimiter)
        if stop - position > max_record or len(values) != len(layout.names):
            raise ValueError(MALFORMED)
        raw = data[position:stop]
        reason = _byte_fault(raw)
    except ValueError:
        reason = "record_too_long" if len(raw) > max_record else _byte_fault(raw) or MALFORMED
    if not layout.columns:
        return raw, "unusable_header", texts
    if reason is None:
        texts = {role: values[column].decode() for role, column in layout.columns.items()}
        reason = _value_fault(texts)
    return raw, reason, texts


def _common(name: str) -> str:
    """What all spellings of a name have in common."""
    return name.strip(WHITE_SPACE + "\ufeff").lstrip("#").strip(WHITE_SPACE).casefold()


def _columns(names: Sequence[str], timestamps: bool) -> dict[str, int] | None:
    """Role -> number of its column; None where one is missing. ValueError where two columns have one role."""
    found = {}
    for role, wanted in ROLES.items():
        if role == "timestamp" and not timestamps:
            continue
        numbers = [n for n, name in enumerate(names) if name == wanted]
        numbers = numbers or [n for n, name in enumerate(names) if _common(name) == _common(wanted)]
        if not numbers:
            return None
        found[role] = numbers
    if any(len(numbers) > 1 for numbers in found.values()):
        raise ValueError("two columns have one role")
    return {role: number for role, (number,) in found.items()}


def _names(line: bytes) -> list[tuple[int, tuple[str, ...]]]:
    """(delimiter, names) of a line by every delimiter that divides it."""
    text = line.decode(errors="replace").lstrip("\ufeff")
    ways = []
    if text.lower().startswith("#fields:"):
        text = text[8:].strip(WHITE_SPACE)
        ways.append((0x20, tuple(text.split())))
    for delimiter in b",;\t| ":
        try:
            values, stop = _read_fields(text.encode(), 0, delimiter)
        except ValueError:
            continue
        if stop == len(text.encode()):
            texts = (value.decode().strip(WHITE_SPACE + "\ufeff") for value in values)
            ways.append((delimiter, tuple(text.lstrip("#").strip(WHITE_SPACE) for text in texts)))
    return [(delimiter, names) for delimiter, names in ways if len(names) > 1]


def _named(line: bytes, layout: Layout) -> Layout | None:
    """What a line announces that names columns of a layout, or any behind ``#Fields:``: two, and half of all names or
    two of required columns."""
    own = {_common(name) for name in layout.names} - {""}
    must = {_common(layout.names[number]) for role, number in layout.columns.items() if role != "timestamp"} - {""}
    fields = line.decode(errors="replace").lstrip("\ufeff").casefold().startswith("#fields:")
    for delimiter, names in _names(line):
        texts = [_common(name) for name in names]
        known = [text for text in texts if fields or text in own]
        if len({*known} - {""}) < 2:
            continue
        words = delimiter == 0x20 != layout.delimiter
        many = 2 * len(known) >= len(texts) or len(must & {*known}) >= 2
        if len(known) == len(texts) or (many and not words):
            return Layout(delimiter, names, {})
    return None


def _lines_behind(behind: bytes, layout: Layout) -> list[bytes]:
    """The first 20 lines up to the next header, as far as they are within 64 KiB, less blank ones and comments."""
    whole = behind[: 64 * 1024]
    lines = whole.split(b"\n")[:20] if len(behind) < 64 * 1024 else whole.split(b"\n")[:-1][:20]
    lines = [line.removesuffix(b"\r") for line in lines]
    lines = list(takewhile(lambda line: not _named(line, layout), lines))
    return [line for line in lines if line and not line.startswith(b"#")]


def _widths(lines: list[bytes], delimiter: int) -> list[int]:
    """Fields of each well-formed record, whose quoted fields may hold line ends; minus as many where the last one is
    blank."""
    found = []
    rest = lines
    while rest:
        number, record = 1, rest[0]
        while True:
            try:
                values, stop = _read_fields(record, 0, delimiter)
            except ValueError:
                if number == len(rest):
                    number = 1
                    break
                record += b"\n" + rest[number]
                number += 1
                continue
            if stop == len(record):
                found.append(len(values) if values[-1] else -len(values))
            break
        rest = rest[number:]
    return found


def _fit(layout: Layout, behind: bytes) -> Layout:
    """Records may have a delimiter at their end, and behind ``#Fields:`` tabs between fields: the next lines tell."""
    lines = _lines_behind(behind, layout)
    number = len(layout.names)

    def fitting(delimiter: int) -> int:
        return sum(abs(width) == number or width == -number - 1 for width in _widths(lines, delimiter))

    delimiter = layout.delimiter
    if delimiter == 0x20 and fitting(0x09) > fitting(0x20):
        delimiter = 0x09
    found = _widths(lines, delimiter)
    same = sum(abs(width) == number for width in found)
    names = layout.names
    if found.count(-number - 1) > same:
        names = (*names, "")
    elif names[-1] == "" and sum(abs(width) == number - 1 for width in found) > same:
        names = names[:-1]
    return Layout(delimiter, names, layout.columns)


def _header_on(line: bytes, timestamps: bool) -> Layout | None:
    for delimiter, names in _names(line):
        columns = _columns(names, timestamps)
        if columns:
            return Layout(delimiter, names, columns)
    return None


def _find_header(
    data: bytes, position: int, timestamps: bool, columns: tuple[str, ...], max_record: int
) -> tuple[Layout, int, int, int] | None:
    """(layout, position of the first record, its line, number of lines before the header)."""
    ends = []
    begins = [position]
    while begins[-1] < len(data) and len(ends) < 20:
        ends.append(_line_end(data, begins[-1]))
        begins.append(_after(data, ends[-1]))
    lines = [data[begin:end] for begin, end in zip(begins, ends, strict=False)]
    found = None
    for number, line in enumerate(lines):
        comment = not line or line.startswith(b"#")
        try:
            layout = _header_on(line, timestamps) if len(line) <= max_record else None
        except ValueError:
            return None
        if layout:
            found = layout, number
        if found and not comment:
            break
        if columns and not comment:
            return _headless(columns, lines[number:], data[begins[number] :], timestamps, begins[number], number)
    if found is None:
        return None
    layout, number = found
    return _fit(layout, data[begins[number + 1] :]), begins[number + 1], number + 2, number


def _headless(
    columns: tuple[str, ...], lines: list[bytes], behind: bytes, timestamps: bool, position: int, comments: int
) -> tuple[Layout, int, int, int] | None:
    """The same for a file without a header."""
    roles = _columns(columns, timestamps)
    assert roles
    counts = {}
    for delimiter in b",;\t| ":
        layout = Layout(delimiter, columns, roles)
        own = takewhile(lambda line, layout=layout: not _named(line, layout), lines)
        widths = _widths([line for line in own if not line.startswith(b"#")], delimiter)
        counts[delimiter] = sum(abs(width) == len(columns) or width == -len(columns) - 1 for width in widths)
    best = max(counts, key=lambda delimiter: counts[delimiter])
    if not counts[best]:
        return None
    return _fit(Layout(best, columns, roles), behind), position, comments + 1, comments


def _records_before(
    data: bytes, begin: int, layout: Layout, data_start: int, max_record: int
) -> list[tuple[int, int, bytes]]:
    """(line, position, bytes) of the good records between ``begin`` and the header, whose line ends at
    ``data_start``."""
    header = data.rfind(b"\n", 0, data_start - data[:data_start].endswith(b"\n")) + 1
    before, found = data[:header], []
    position, line = begin, 1
    while position < header:
        end = _line_end(before, position)
        if end == position:
            position, line = _after(before, end), line + 1
            continue
        raw, reason, _ = _read_record(before, position, layout, max_record)
        if reason is None and not raw.startswith(b"#"):
            found.append((line, position, raw))
        following = _after(before, position + len(raw))
        line += before.count(b"\n", position, following)
        position = following
    return found


def _later_header(raw: bytes, layout: Layout, behind: bytes, timestamps: bool) -> tuple[Layout | None, str | None]:
    """(the layout behind a rejected record, or None where it stays; the reason of the record if that is another)."""
    text = raw.decode(errors="replace").lstrip("\ufeff").casefold()
    fields = text.startswith("#fields:")
    behind_a_record = None
    for delimiter, names in _names(raw):
        if delimiter == 0x20 and layout.delimiter != 0x20 and not fields:
            continue
        first = len(layout.names) - 1 if delimiter == layout.delimiter else 0
        glued = None
        try:
            columns = _columns(_unglue(names, first), timestamps)
            if columns:
                glued = Layout(delimiter, _unglue(names, first), columns)
        except ValueError:
            glued = Layout(delimiter, _unglue(names, first), {})
        behind_a_record = behind_a_record or glued
        try:
            columns = _columns(names, timestamps)
        except ValueError:
            new = Layout(delimiter, names, {})
            return None if new.essence == layout.essence else new, "unusable_header"
        if columns and not (glued and _stands_behind(names, glued, layout, behind)):
            new = _fit(Layout(delimiter, names, columns), behind)
            return None if new.essence == layout.essence else new, "repeated_header"
    if behind_a_record:
        new = _fit(behind_a_record, behind) if behind_a_record.columns else behind_a_record
        return None if new.essence == layout.essence else new, None
    if new := _named(raw, layout):
        return None if new.essence == layout.essence else new, "unusable_header"
    kinds = ("version", "fields", "software", "remark", "date", "start-date", "end-date")
    return None, "directive" if text.startswith(tuple(f"#{kind}:" for kind in kinds)) else None


def _stands_behind(names: tuple[str, ...], glued: Layout, layout: Layout, behind: bytes) -> bool:
    """Whether a record stands in front of a header on one line, where the whole line could be a header, too."""
    if glued.delimiter != layout.delimiter:
        return names[0].count(chr(layout.delimiter)) >= len(layout.names) - 1
    widths = _widths(_lines_behind(behind, glued), glued.delimiter)

    def fitting(number: int) -> int:
        return sum(abs(width) == number or width == -number - 1 for width in widths)

    return fitting(len(glued.names)) > fitting(len(names))


def _unglue(names: tuple[str, ...], first: int) -> tuple[str, ...]:
    """The names from number ``first`` on, which stands behind a value, with no line end between them."""
    if len(names) <= first + 1:
        return ()
    ends = [name for name in ROLES.values() if names[first].casefold().endswith(name)]
    return (max(ends, key=len, default=""), *names[first + 1 :])


def _at_line_end(data: bytes, position: int) -> bool:
    return data[position : position + 1] in (b"", b"\n") or data[position:] == b"\r" or data[position:][:2] == b"\r\n"


def _line_end(data: bytes, position: int) -> int:
    """Where the physical line at ``position`` ends, without its line end."""
    stop = data.find(b"\n", position)
    stop = len(data) if stop < 0 else stop
    return stop - 1 if stop > position and data[stop - 1 : stop] == b"\r" else stop


def _after(data: bytes, end: int) -> int:
    """Where the line after a line end at ``end`` begins."""
    assert _at_line_end(data, end)
    following = data.find(b"\n", end)
    return len(data) if following < 0 else following + 1


def _read_fields(data: bytes, position: int, delimiter: int) -> tuple[list[bytes], int]:
    """(values, where the line end is) of the record at ``position``; ValueError where a quoted field is malformed."""
    values = []
    while True:
        value = bytearray()
        if data[position : position + 1] == b'"':
            position += 1
            while data[position : position + 1] != b'"' or data[position : position + 2] == b'""':
                if position >= len(data):
                    raise ValueError("the quoted field does not close")
                value.append(data[position])
                position += 2 if data[position] == 0x22 else 1
            position += 1
        else:
            while not _at_line_end(data, position) and data[position] != delimiter:
                value.append(data[position])
                position += 1
        values.append(bytes(value))
        if _at_line_end(data, position):
            return values, position
        if data[position] != delimiter:
            raise ValueError("the quoted field goes on after its closing quote")
        position += 1


def _byte_fault(raw: bytes) -> str | None:
    if 0 in raw:
        return "nul_byte"
    try:
        raw.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return "invalid_utf8"
    return None


def _value_fault(texts: Mapping[str, str]) -> str | None:
    if not texts["log_id"].strip(WHITE_SPACE):
        return "blank_log_id"
    if not texts["user_id"].strip(WHITE_SPACE):
        return "blank_user_id"
    return micro_minutes(texts["watch_time"])[1]


def micro_minutes(text: str) -> tuple[int, str | None]:
    """(micro-minutes, None) or (0, reason): a finite decimal from 0 to 10^9, rounded half-even."""
    if not text.strip(WHITE_SPACE):
        return 0, "watch_time_missing"
    if not NUMBER.fullmatch(text):
        return 0, "watch_time_not_a_number"
    if not text.lower().partition("e")[0].strip("+-0."):
        return 0, None
    if text.startswith("-"):
        return 0, "watch_time_negative"
    exponent = int(text.lower().partition("e")[2] or 0)
    if abs(exponent) > 10**9:
        return (0, None) if exponent < 0 else (0, "watch_time_too_large")
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 3000, 10**12, -(10**12)
        number = Decimal(text)
        if number > 10**9:
            return 0, "watch_time_too_large"
        if number.adjusted() < -100:
            return 0, None
        return int((number * 10**6).to_integral_value(ROUND_HALF_EVEN)), None


def nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970 UTC of ISO 8601 or of a number: seconds to 11 digits, then ms, us (15) and ns (18, 19).

    8, 14 and 17 digits are no number but YYYYMMDD, perhaps with HHMMSS, perhaps with milliseconds.
    """
    match = re.fullmatch(r"(-?)([0-9]{1,19})(?:\.([0-9]+))?", text)
    if match and len(match[2]) not in (8, 14, 17):
        minus, whole, fraction = match.groups()
        scale = 10**9 if len(whole) <= 11 else 10**6 if len(whole) <= 14 else 1000 if len(whole) <= 17 else 1
        number = Decimal(f"{whole}.{(fraction or '0')[:9]}")
        with localcontext() as context:
            context.prec = 60
            return int(number * scale) * (-1 if minus else 1)
    offset = r"([+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)"
    named = r"(?:\[[A-Za-z0-9_/+-]+\])?"
    zone_rule = rf"(?: ?(?:[Zz]|UTC|GMT|utc|gmt|(?:UTC|GMT|utc|gmt)?{offset}(?: [A-Z]{{1,5}})?){named})?"
    extended = r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?" + zone_rule + ")?"
    basic = r"(\d{4})(\d\d)(\d\d)[Tt](\d\d)(\d\d)(?:(\d\d)(?:[.,](\d+))?)?" + zone_rule
    digits = r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)"
    forms = (
        *(extended, basic, r"(\d{4})(\d\d)(\d\d)()()()()()"),
        *(digits + r"(?:[.,](\d+))?" + zone_rule, digits + r"(\d{3})" + zone_rule),
    )
    match = next(filter(None, (re.fullmatch(form, text, re.ASCII) for form in forms)), None)
    if not match:
        return None
    year, month, date, hour, minute, second, fraction, zone = match.groups()
    day, clock = f"{year}-{month}-{date}", f"{hour or '00'}:{minute or '00'}:{second or '00'}"
    leap = clock.endswith(":60")
    try:
        moment = datetime.strptime(f"{day}T{clock[:-2]}59" if leap else f"{day}T{clock}", "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    seconds = (moment - datetime(1970, 1, 1)) // timedelta(seconds=1) + leap
    if zone:
        minutes = int(zone[1:3]) * 60 + (int(zone[-2:]) if len(zone) > 3 else 0)
        seconds -= (-1 if zone[0] == "-" else 1) * minutes * 60
    return seconds * 10**9 + int(((fraction or "") + "000000000")[:9])


def moment(text: str) -> int | None:
    """The number by which a timestamp is compared: nanoseconds in 1700 to 2249, steps of a microsecond elsewhere."""
    found = nanoseconds(text)
    if found is None:
        return None
    first, last = ((datetime(year, 1, 1) - datetime(1970, 1, 1)) // timedelta(microseconds=1) for year in (1700, 2250))
    micros = found // 1000
    if micros < first:
        return first * 1000 - (first - micros)
    return found if micros < last else last * 1000 + (micros - last)


def run(files: Iterable[bytes], max_record: int, keep: str, region_of: Callable[[str], str]) -> RunTruth:
    """The whole job over files that are all accepted."""
    truths = [read_file(data, max_record, timestamps=keep != "longest") for data in files]
    assert None not in truths
    events = [event for truth in truths for _, event in truth.events]
    by_id: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_id[event.log_id].append(event)
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    duplicates = 0
    losers: Counter[tuple[str, str, str, int]] = Counter()
    for log_id, copies in by_id.items():
        (user, region, micro), contents = _winner(copies, keep, region_of)
        duplicates += len(copies) - len(contents)
        losers.update((log_id, *content) for content in contents if content != (user, region, micro))
        total, count = totals.get((region, user), (0, 0))
        totals[region, user] = total + micro, count + 1
    return RunTruth(
        totals=totals,
        records=sum(truth.records for truth in truths),
        kept=len(by_id),
        duplicates=duplicates,
        conflicts=losers.total(),
        losers=losers,
        rejected=Counter(reason for truth in truths for _, _, reason, _ in truth.rejects),
        blank_lines=sum(truth.blank_lines for truth in truths),
    )


def _winner(
    copies: Sequence[Event], keep: str, region_of: Callable[[str], str]
) -> tuple[tuple[str, str, int], set[tuple[str, str, int]]]:
    """(the content that counts, all contents) among the copies of one log_id."""
    times: dict[tuple[str, str, int], list[int]] = {}
    for copy in copies:
        known = times.setdefault((copy.user_id, region_of(copy.ip_address), copy.micro), [])
        if copy.timestamp is not None:
            known.append(copy.timestamp)

    def rank(content: tuple[str, str, int]) -> tuple[object, ...]:
        user, region, micro = content
        tie = (-micro, user.encode(), region.encode())
        if keep == "longest":
            return tie
        known = times[content]
        if not known:
            return (1, 0, *tie)
        return (0, min(known) if keep == "first" else -max(known), *tie)

    return min(times, key=rank), set(times)
