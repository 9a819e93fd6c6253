"""Logs that owe nothing to the generator's habits: ids in no order and without dashes, moments in no order, countries.

Every row is a pure function of its number, so that files are written side by side and are the same everywhere. A row
has 109 bytes on average.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_generator.randomness import Words, bits, random_words, scale, stream_key
from data_generator.text import DOTTED_OCTETS, HEX_DIGITS, OCTETS, PAD, Texts, text_table, write_texts

HEADER = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
USERS = 1_000_000
_SEED = 20_261_130
_KIND, _TARGET, _ID_HIGH, _ID_LOW, _PERSON, _SCENE, _WATCH, _HOME = range(8)
_BLOCK_ROWS = 65_536
_AWAY_IN_8 = 1
_PLACES = 4
_SPREAD = 2_654_435_761
"""Odd, so that users below 2^32 get different names."""
_DAYS = text_table([b"2026-05-%02dT" % day for day in range(1, 31)], 11)
_TIMES = text_table([b"%02d:%02d:%02dZ" % (s // 3600, s // 60 % 60, s % 60) for s in range(86_400)], 9)
_DEVICES = text_table([b"phone", b"tv", b"browser", b"tablet", b"set_top_box"], 11)
_MINUTES = text_table([b"%d.%d" % divmod(tenths, 10) for tenths in range(2400)], 5)
_WIDTHS = (32, 10, 20, 16, 11, 16, 5)
"""Of the columns, in the order of the header."""


@dataclass(frozen=True)
class Shape:
    """How many files, rows of each, and which shares of the rows repeat another row of their file, or of another."""

    files: int
    rows: int
    within: float
    across: float

    def words(self, numbers: Words, stream: int) -> Words:
        """Random words for rows or events."""
        return random_words(numbers, stream_key(_SEED, stream))


def shape_of(size: int, files: int, within: float, across: float) -> Shape:
    """The shape of about ``size`` bytes in all, by the length of sampled rows."""
    sample = Shape(1, _BLOCK_ROWS, 0.0, 0.0)
    row_bytes = len(_lines(sample, np.arange(_BLOCK_ROWS, dtype=np.uint64))) / _BLOCK_ROWS
    return Shape(files, max(1, round((size / files - len(HEADER)) / row_bytes)), within, across)


def write_logs(shape: Shape, folder: Path, workers: int) -> None:
    """Write the files of ``shape`` into ``folder``, as many at a time as there are ``workers``."""
    paths = [folder / f"part-{number}.csv" for number in range(shape.files)]
    if workers == 1:
        for number, path in enumerate(paths):
            _write_file(shape, number, path)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_write_file, [shape] * shape.files, range(shape.files), paths))


def _write_file(shape: Shape, file: int, path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(HEADER)
        for rows in _blocks(shape, file):
            stream.write(_lines(shape, _events(shape, rows)))


def _blocks(shape: Shape, file: int) -> Iterator[Words]:
    first, stop = file * shape.rows, (file + 1) * shape.rows
    for begin in range(first, stop, _BLOCK_ROWS):
        yield np.arange(begin, min(stop, begin + _BLOCK_ROWS), dtype=np.uint64)


def _events(shape: Shape, rows: Words) -> Words:
    """The event that each row tells: its own, or that of the original row which it repeats."""
    kind = _kind(shape, rows)
    copies = np.flatnonzero(kind)
    events = rows.copy()
    of_a_file = np.uint64(shape.rows)
    words = shape.words(rows[copies], _TARGET)
    file = rows[copies] // of_a_file
    if shape.files > 1:
        step = np.uint64(1) + bits(words, 0, 16) % np.uint64(shape.files - 1)
        file = np.where(kind[copies] == 2, (file + step) % np.uint64(shape.files), file)
    slot = scale(words, shape.rows)
    events[copies] = file * of_a_file + slot
    # A row that is a copy itself tells nothing new: take the next one that does. The first row of a file always does.
    left = np.arange(len(copies))
    while len(left := left[_kind(shape, events[copies[left]]) > 0]):
        slot[left] = (slot[left] + np.uint64(1)) % of_a_file
        events[copies[left]] = file[left] * of_a_file + slot[left]
    return events


def _kind(shape: Shape, rows: Words) -> NDArray[np.uint8]:
    """0: an original; 1: repeats a row of its file; 2: repeats a row of another file."""
    draw = (shape.words(rows, _KIND) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    kind = (draw < shape.within + shape.across).astype(np.uint8)
    if shape.files > 1:
        kind += (draw < shape.across).astype(np.uint8)
    kind[rows % np.uint64(shape.rows) == 0] = 0
    return kind


def _lines(shape: Shape, events: Words) -> bytes:
    """The lines of events: a matrix with columns of fixed width, without its padding."""
    lines = np.full((len(events), sum(_WIDTHS) + len(_WIDTHS)), PAD, np.uint8)
    columns, start = [], 0
    for width in _WIDTHS:
        columns.append(lines[:, start : start + width])
        lines[:, start + width] = ord(",")
        start += width + 1
    lines[:, -1] = ord("\n")
    log_id, user, moment, video, device, address, watch = columns
    person, scene = shape.words(events, _PERSON), shape.words(events, _SCENE)
    users = _some_more_often(person)
    _write_hex(log_id, shape.words(events, _ID_HIGH), shape.words(events, _ID_LOW))
    user[:, :2] = np.frombuffer(b"u-", np.uint8)
    _write_hex(user[:, 2:], (users * np.uint64(_SPREAD)) << np.uint64(32))
    write_texts(moment[:, :11], _DAYS, bits(scene, 0, 20) % np.uint64(len(_DAYS)))
    write_texts(moment[:, 11:], _TIMES, bits(scene, 20, 24) % np.uint64(len(_TIMES)))
    _write_hex(video, shape.words(bits(scene, 48, 14), _SCENE))
    write_texts(device, _DEVICES, bits(person, 0, 10) % np.uint64(len(_DEVICES)))
    away = bits(person, 10, 3) < np.uint64(_AWAY_IN_8)
    place = np.where(away, bits(person, 13, 2), np.uint64(0))
    _write_addresses(address, shape.words(users * np.uint64(_PLACES) + place, _HOME))
    write_texts(watch, _MINUTES, scale(shape.words(events, _WATCH), len(_MINUTES)))
    return lines.tobytes().translate(None, bytes([PAD]))


def _some_more_often(words: Words) -> Words:
    """Users from 0 to USERS - 1, the first ones more often: the square of a number that is evenly spread."""
    even = (words >> np.uint64(32)).astype(np.float64) * 2.0**-32
    return (even * even * USERS).astype(np.uint64)


def _write_hex(target: Texts, *words: Words) -> None:
    """Write the leading hexadecimal digits of 64-bit words, as many as there is room for."""
    for start in range(0, target.shape[1], 4):
        group = words[start // 16] >> np.uint64(48 - 4 * (start % 16))
        write_texts(target[:, start : start + 4], HEX_DIGITS, group.astype(np.uint16))


def _write_addresses(target: Texts, words: Words) -> None:
    """Write addresses below 224.0.0.0, whatever they stand for."""
    octets = [np.uint64(1) + bits(words, 48, 16) % np.uint64(223), *(bits(words, shift, 8) for shift in (32, 16, 0))]
    for index, octet in enumerate(octets):
        write_texts(target[:, 4 * index : 4 * index + 4], OCTETS if index == 3 else DOTTED_OCTETS, octet)
