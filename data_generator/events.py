"""Viewing events as pure functions of their number, and which row of a file is which kind of record.

Row ``slot`` of file ``file`` has the number ``file * rows_per_file + slot``. Most rows are *originals*: the event of
their own number. A copy names the number of an original, so that nothing has to be remembered to repeat it.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data_generator.randomness import Words, bits, random_words, scale, stream_key
from data_generator.settings import DataSetSettings

CATALOGUE_TITLES = 20_000
PLAIN_DEVICES = (b"mobile", b"mobile", b"mobile", b"desktop", b"desktop", b"tablet", b"smart_tv", b"console")
QUOTED_DEVICES = (b'"Smart TV, living room"', b'"Tablet 10"" (kids)"', b'"Console; den"', b'"desktop"')
SECONDS_PER_DAY = 86_400
MICRO = 1_000_000
MAX_WATCH_MICRO = 240 * MICRO
PLACES_PER_USER = 8
_ROAMING_IN_1024 = 102
_JITTER_SECONDS = 90
_DECIMALS = np.array([1] * 16 + [2] * 28 + [3] * 17 + [6] * 3, dtype=np.int64)
_TARGET_ATTEMPTS = 64
_SPREAD_PRIME = 2_654_435_761

KIND, PERSON, SCENE, WATCH, TARGET, CONFLICT, ID_HIGH, ID_LOW, DAMAGE = range(9)

Integers = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.uint64)


class Kind(IntEnum):
    """The kinds of rows of a file."""

    ORIGINAL = 0
    MALFORMED = 1
    CONFLICT = 2
    DUPLICATE = 3
    CROSS_FILE_DUPLICATE = 4


@dataclass(frozen=True)
class DataSet:
    """The settings of a data set, and how many records each of its files has below the header."""

    settings: DataSetSettings
    rows_per_file: int

    def words(self, numbers: Words, stream: int) -> Words:
        """Random words of one stream, for event or row numbers."""
        return random_words(numbers, stream_key(self.settings.seed, stream))


@dataclass(frozen=True)
class Events:
    """Columns of events, one element per record.

    Attributes:
        number: the event's number (uint64); decides the ``log_id``.
        user: user number, 0 to users - 1 (uint64).
        place: 0 at home, above when roaming (uint64); with the user it decides the address.
        day: number of the file whose day the event belongs to (uint64).
        second: second of the day (uint64).
        title: number in the catalogue (uint64).
        device: index into PLAIN_DEVICES + QUOTED_DEVICES (uint64).
        micro: watch time in millionths of a minute (int64).
        decimals: decimals that the watch time is written with: 1, 2, 3 or 6 (int64).
    """

    number: Words
    user: Words
    place: Words
    day: Words
    second: Words
    title: Words
    device: Words
    micro: Integers
    decimals: Integers


def kinds(data_set: DataSet, numbers: Words) -> NDArray[np.uint8]:
    """The kind of each row; the first row of a file is always an original, so that copies find one."""
    settings = data_set.settings
    cross = settings.cross_file_duplicates if settings.files > 1 else 0.0
    draw = (data_set.words(numbers, KIND) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    result = np.zeros(len(numbers), dtype=np.uint8)
    start = 0.0
    for kind, share in (
        (Kind.MALFORMED, settings.malformed),
        (Kind.CONFLICT, settings.conflicts),
        (Kind.DUPLICATE, settings.duplicates),
        (Kind.CROSS_FILE_DUPLICATE, cross),
    ):
        result[(draw >= start) & (draw < start + share)] = kind
        start += share
    result[numbers % np.uint64(data_set.rows_per_file) == 0] = Kind.ORIGINAL
    return result


def copied_numbers(data_set: DataSet, numbers: Words, other_file: NDArray[np.bool_]) -> Words:
    """The number of the original that each row repeats: an earlier row of its own file, or any row of another file."""
    rows = np.uint64(data_set.rows_per_file)
    file, slot = numbers // rows, numbers % rows
    files = data_set.settings.files
    if files > 1:
        step = np.uint64(1) + scale(data_set.words(numbers, TARGET), files - 1)
        file = np.where(other_file, (file + step) % np.uint64(files), file)
    limit = np.where(other_file, rows, slot)
    result = file * rows
    open_rows = np.arange(len(numbers))
    words = data_set.words(numbers, TARGET)
    for _ in range(_TARGET_ATTEMPTS):
        words = data_set.words(words, TARGET)
        wanted = file[open_rows] * rows + scale(words, limit[open_rows])
        found = kinds(data_set, wanted) == Kind.ORIGINAL
        result[open_rows[found]] = wanted[found]
        open_rows, words = open_rows[~found], words[~found]
        if not len(open_rows):
            break
    return result


def make_events(data_set: DataSet, numbers: Words) -> Events:
    """Make the events with these numbers."""
    settings = data_set.settings
    person, scene = data_set.words(numbers, PERSON), data_set.words(numbers, SCENE)
    roams = bits(person, 0, 10) < np.uint64(_ROAMING_IN_1024)
    rows = np.uint64(data_set.rows_per_file)
    day, slot = numbers // rows, numbers % rows
    second = slot * np.uint64(SECONDS_PER_DAY) // rows + bits(scene, 0, 16) % np.uint64(_JITTER_SECONDS)
    quoted = bits(person, 16, 16) < np.uint64(round(settings.quoted * 65_536))
    micro, decimals = _watch_times(data_set.words(numbers, WATCH))
    return Events(
        number=numbers,
        user=_zipf(person, settings.users, 4) * np.uint64(_SPREAD_PRIME) % np.uint64(settings.users),
        place=np.where(roams, np.uint64(1) + bits(person, 10, 6) % np.uint64(PLACES_PER_USER - 1), np.uint64(0)),
        day=day,
        second=np.minimum(second, np.uint64(SECONDS_PER_DAY - 1)),
        title=_zipf(scene, CATALOGUE_TITLES, 5),
        device=np.where(quoted, np.uint64(len(PLAIN_DEVICES)) + bits(scene, 16, 2), bits(scene, 18, 3)),
        micro=micro,
        decimals=decimals,
    )


def with_conflicts(data_set: DataSet, events: Events, at: Integers, numbers: Words) -> Events:
    """A copy of ``events`` in which those at positions ``at`` contradict the events that they re-send.

    ``numbers``: the row numbers of these events; each gets the time of its own row. The watch time or the user always
    changes, and the address is a function of event and user. So contents differ exactly where (user, watch time)
    differs, whatever the geo database says.
    """
    words = data_set.words(numbers, CONFLICT)
    users = data_set.settings.users
    other_user = (bits(words, 0, 3) == 0) & (users > 1)
    step = np.uint64(1) + scale(words, max(users - 1, 1))
    before = events.micro[at]
    delta = ((np.uint64(1) + bits(words, 3, 16) % np.uint64(600)) * np.uint64(MICRO // 10)).astype(np.int64)
    longer = bits(words, 19, 2) > 0
    longer = np.where(longer, before + delta <= MAX_WATCH_MICRO, before - delta < 0)
    own = make_events(data_set, numbers)
    return replace(
        events,
        user=_put(events.user, at, np.where(other_user, (events.user[at] + step) % np.uint64(users), events.user[at])),
        place=_put(events.place, at, np.where(other_user, np.uint64(0), events.place[at])),
        micro=_put(events.micro, at, np.where(other_user, before, np.where(longer, before + delta, before - delta))),
        day=_put(events.day, at, own.day),
        second=_put(events.second, at, own.second),
    )


def _put(column: NDArray[Number], at: Integers, values: NDArray[Number]) -> NDArray[Number]:
    changed = column.copy()
    changed[at] = values
    return changed


def _zipf(words: Words, count: int, power: int) -> Words:
    """Numbers below ``count`` with Zipf-like frequency, exponent 1 - 1/power, by the inverse of a power law.

    The power is a product, not ``pow``, whose last digit differs between machines.
    """
    top = round(float(count + 1) ** (1.0 / power), 9)
    base = (words >> np.uint64(32)).astype(np.float64)
    base *= (top - 1.0) / 2.0**32
    base += 1.0
    value = base * base
    value *= value
    if power == 5:
        value *= base
    ranks: Words = np.minimum(value.astype(np.uint64) - np.uint64(1), np.uint64(count - 1))
    return ranks


def _watch_times(words: Words) -> tuple[Integers, Integers]:
    """Watch times (mostly short, 0 to 240 minutes, in micro-minutes) and the decimals that each is written with."""
    decimals = _DECIMALS[bits(words, 0, 6)]
    share = (words >> np.uint64(40)).astype(np.float64) * 2.0**-24
    micro = (share * share * MAX_WATCH_MICRO).astype(np.int64)
    unit = np.array([0, 100_000, 10_000, 1_000, 0, 0, 1], dtype=np.int64)[decimals]
    return micro // unit * unit, decimals
