"""A slow and obvious reference of the whole job, written from the contracts of the design, not from the code.

One byte at a time, one record at a time, dicts and exact decimals: what the program must find for any files whatever.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

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


def read_file(data: bytes, max_record: int, *, timestamps: bool = False) -> FileTruth | None:
    """Read a whole file by the contract of records; None where it has no header and is refused."""
    truth = FileTruth()
    bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    data = data[bom:]
    if not data:
        return truth
    names, delimiter, position, line = _find_header(data, timestamps)
    if names is None:
        return None
    truth.preamble_lines = line - 2
    columns = {role: names.index(name) for role, name in ROLES.items() if timestamps or role != "timestamp"}
    while position < len(data):
        end = _line_end(data, position)
        if end == position:
            truth.blank_lines += 1
            position, line = _after(data, end), line + 1
            continue
        raw, reason, values = data[position:end], None, ()
        try:
            values, stop = _read_fields(data, position, delimiter)
            if stop - position > max_record or len(values) != len(names):
                raise ValueError(MALFORMED)
            raw = data[position:stop]
            reason = _byte_fault(raw)
        except ValueError:
            reason = "record_too_long" if len(raw) > max_record else _byte_fault(raw) or MALFORMED
        if reason is None:
            texts = {role: values[column].decode() for role, column in columns.items()}
            reason = _value_fault(texts)
        if reason is None:
            when = moment(texts["timestamp"]) if timestamps else None
            micro, _ = micro_minutes(texts["watch_time"])
            truth.events.append(
                (position + bom, Event(texts["log_id"], texts["user_id"], texts["ip_address"], micro, when))
            )
        else:
            truth.rejects.append((line, position + bom, reason, raw[:max_record]))
        following = _after(data, position + len(raw))
        line += data.count(b"\n", position, following)
        position = following
    return truth


def _find_header(data: bytes, timestamps: bool) -> tuple[list[str] | None, int, int, int]:
    """(names, delimiter, position of the first record, its line)."""
    position = 0
    for line in range(1, 21):
        if position >= len(data):
            break
        end = _line_end(data, position)
        for delimiter in b",;\t|":
            try:
                values, stop = _read_fields(data[position:end], 0, delimiter)
            except ValueError:
                continue
            names = [value.decode(errors="replace") for value in values]
            wanted = {name for role, name in ROLES.items() if timestamps or role != "timestamp"}
            if stop == end - position and wanted <= set(names):
                return names, delimiter, _after(data, end), line + 1
        position = _after(data, end)
    return None, 0, 0, 0


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
    if all(text.removeprefix("\ufeff") == ROLES[role] for role, text in texts.items()):
        return "repeated_header"
    if not texts["log_id"].strip(WHITE_SPACE):
        return "blank_log_id"
    if not texts["user_id"].strip(WHITE_SPACE):
        return "blank_user_id"
    return micro_minutes(texts["watch_time"])[1]


def micro_minutes(text: str) -> tuple[int, str | None]:
    """(micro-minutes, None) or (0, reason): a finite decimal from 0 to 10^9, rounded half-even."""
    if not text.strip():
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
    """Nanoseconds since 1970 UTC of ISO 8601 or of a number: seconds to 11 digits, then ms, us (15) and ns (18, 19)."""
    if match := re.fullmatch(r"(-?)([0-9]{1,19})(?:\.([0-9]+))?", text):
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
    match = re.fullmatch(extended, text, re.ASCII) or re.fullmatch(basic, text, re.ASCII)
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
