"""Records that a reader must reject, each for exactly one reason and each within its own physical line."""

from collections.abc import Callable

from data_generator.rows import HEADER

Fields = list[bytes]

LOG_ID, USER, TIME, TITLE, DEVICE, ADDRESS, WATCH = range(7)


def _with(position: int, value: bytes) -> Callable[[Fields], Fields]:
    def change(fields: Fields) -> Fields:
        return [*fields[:position], value, *fields[position + 1 :]]

    return change


def _fields(start: int, stop: int) -> Callable[[Fields], Fields]:
    return lambda fields: fields[start:stop]


# A damaged quote stands where even a reader that looks for the next quote would get too few fields: it can never
# swallow a neighbour together with the seven fields of a good record.
_DAMAGES: tuple[tuple[str, Callable[[Fields], Fields]], ...] = (
    ("wrong_field_count", _fields(0, 6)),
    ("wrong_field_count", _fields(0, 3)),
    ("wrong_field_count", lambda fields: [*fields, b"retry"]),
    ("wrong_field_count", lambda fields: [*fields[:TITLE], b"live", *fields[TITLE:]]),
    ("blank_log_id", _with(LOG_ID, b"")),
    ("blank_log_id", _with(LOG_ID, b"  ")),
    ("blank_user_id", _with(USER, b"")),
    ("blank_user_id", _with(USER, b" ")),
    ("watch_time_missing", _with(WATCH, b"")),
    ("watch_time_missing", _with(WATCH, b"   ")),
    ("watch_time_not_a_number", _with(WATCH, b"abc")),
    ("watch_time_not_a_number", _with(WATCH, b"NaN")),
    ("watch_time_not_a_number", _with(WATCH, b"inf")),
    ("watch_time_not_a_number", _with(WATCH, b'"12,5"')),
    ("watch_time_negative", _with(WATCH, b"-5")),
    ("watch_time_negative", _with(WATCH, b"-0.25")),
    ("watch_time_too_large", _with(WATCH, b"99999999999")),
    ("watch_time_too_large", _with(WATCH, b"1000000000.5")),
    ("invalid_utf8", _with(TITLE, b"vid_\xc3\x28")),
    ("invalid_utf8", _with(DEVICE, b"t\x80blet")),
    ("nul_byte", _with(DEVICE, b"mob\x00ile")),
    ("bad_quote", _with(TITLE, b'"vid_9"x')),
    ("bad_quote", _with(USER, b'"user"_1')),
    ("repeated_header", lambda _: HEADER.rstrip().split(b",")),
)

REASONS = tuple(dict.fromkeys(reason for reason, _ in _DAMAGES))


def damage(fields: Fields, word: int) -> tuple[str, bytes]:
    """Damage one record.

    Args:
        fields: the seven raw fields of a good record.
        word: random word that chooses the damage; every reason is about as frequent as the others.

    Returns:
        the reason for which the record must be rejected, and the raw line with its line end.
    """
    reason = REASONS[word % len(REASONS)]
    ways = [change for name, change in _DAMAGES if name == reason]
    return reason, b",".join(ways[word // len(REASONS) % len(ways)](fields)) + b"\n"
