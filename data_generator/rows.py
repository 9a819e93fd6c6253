"""Events as CSV lines: one byte matrix per block with fixed columns, whose padding is deleted at the end."""

import numpy as np
from numpy.typing import NDArray

from data_generator.addresses import address_width, write_addresses
from data_generator.events import CATALOGUE_TITLES, ID_HIGH, ID_LOW, PLAIN_DEVICES, QUOTED_DEVICES, DataSet, Events
from data_generator.text import FOUR_DIGITS, HEX_DIGITS, PAD, Texts, text_table, write_texts

HEADER = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
FIRST_DAY = np.datetime64("2026-01-01")

_ID_WIDTH = 36
_USER_PREFIX = b"user_"
_USER_WIDTH = len(_USER_PREFIX) + 8
_TIME_WIDTH = 20
_TITLES = text_table([b"vid_%05d" % title for title in range(CATALOGUE_TITLES)], 9)
_DEVICES = text_table(PLAIN_DEVICES + QUOTED_DEVICES, max(map(len, QUOTED_DEVICES)))
_PLAIN_DEVICES = text_table(PLAIN_DEVICES, max(map(len, PLAIN_DEVICES)))
_TIMES = text_table([b"T%02d:%02d:%02dZ" % (s // 3600, s // 60 % 60, s % 60) for s in range(86_400)], 10)
_MINUTES = text_table([b"%d." % minute for minute in range(241)], 4)
_WATCH_WIDTH = 10
_SPARE_WIDTH = 12
_THOUSANDTHS = text_table([(b"%03d" % (row % 1000))[: row // 1000] for row in range(4000)], 3)
"""Row 1000 d + f: the first three decimals of f thousandths when d decimals (at most three) are written."""


class RowLayout:
    """Positions of the columns in the byte matrices of a data set; all blocks have the same."""

    def __init__(self, data_set: DataSet) -> None:
        settings = data_set.settings
        self._data_set = data_set
        self._devices = _DEVICES if settings.quoted > 0 else _PLAIN_DEVICES
        widths = (
            *(_ID_WIDTH, _USER_WIDTH, _TIME_WIDTH, _TITLES.shape[1], self._devices.shape[1]),
            *(address_width(settings), _WATCH_WIDTH),
        )
        self._columns = []
        start = 0
        for width in widths:
            self._columns.append(slice(start, start + width))
            start += width + 1
        self._width = start + (_SPARE_WIDTH if settings.malformed > 0 else 0)
        days = FIRST_DAY + np.arange(settings.files)
        self._days = text_table([str(day).encode() for day in days], 10)

    def write(self, events: Events) -> Texts:
        """Write the lines of events: a matrix (events x width) with its padding."""
        lines = np.empty((len(events.number), self._width), dtype=np.uint8)
        log_id, user, time, title, device, address, watch = (lines[:, column] for column in self._columns)
        self._write_ids(events, log_id)
        user[:, : len(_USER_PREFIX)] = np.frombuffer(_USER_PREFIX, dtype=np.uint8)
        write_texts(user[:, -8:-4], FOUR_DIGITS, events.user // np.uint64(10_000))
        write_texts(user[:, -4:], FOUR_DIGITS, events.user % np.uint64(10_000))
        write_texts(time[:, :10], self._days, events.day)
        write_texts(time[:, 10:], _TIMES, events.second)
        write_texts(title, _TITLES, events.title)
        write_texts(device, self._devices, events.device)
        write_addresses(self._data_set.settings, events.user, events.place, address)
        _write_watch_times(events, watch)
        for column in self._columns[:-1]:
            lines[:, column.stop] = ord(",")
        end = self._columns[-1].stop
        lines[:, end] = ord("\n")
        lines[:, end + 1 :] = PAD
        return lines

    def fields(self, line: Texts) -> list[bytes]:
        """The seven fields of one written line, as they stand in the file (quotes included)."""
        return [line[column].tobytes().translate(None, bytes([PAD])) for column in self._columns]

    def replace(self, lines: Texts, index: int, raw: bytes) -> None:
        """Overwrite one line by raw bytes, which may hold anything but the padding byte.

        Raises:
            ValueError: the raw line is longer than the matrix is wide, or holds the padding byte.
        """
        if PAD in raw:
            raise ValueError(f"a raw line holds the padding byte: {raw!r}")
        lines[index] = text_table([raw], self._width)[0]

    def _write_ids(self, events: Events, target: NDArray[np.uint8]) -> None:
        """UUIDs of version 4 form, from two random words of the event's number."""
        high, low = self._data_set.words(events.number, ID_HIGH), self._data_set.words(events.number, ID_LOW)
        version = (high & np.uint64(0x0FFF)) | np.uint64(0x4000)
        variant = (low & np.uint64(0x3FFF)) | np.uint64(0x8000)
        groups = {0: high >> np.uint64(48), 4: high >> np.uint64(32), 9: high >> np.uint64(16), 14: version}
        groups |= {19: variant, 24: low >> np.uint64(16), 28: low >> np.uint64(32), 32: low >> np.uint64(48)}
        for start, group in groups.items():
            write_texts(target[:, start : start + 4], HEX_DIGITS, group.astype(np.uint16))
        for dash in (8, 13, 18, 23):
            target[:, dash] = ord("-")


def finish(lines: Texts) -> bytes:
    """The bytes of a block: the matrix without its padding."""
    return lines.tobytes().translate(None, bytes([PAD]))


def _write_watch_times(events: Events, target: NDArray[np.uint8]) -> None:
    minutes, fraction = np.divmod(events.micro, 1_000_000)
    first, last = np.divmod(fraction, 1_000)
    write_texts(target[:, :4], _MINUTES, minutes)
    write_texts(target[:, 4:7], _THOUSANDTHS, np.minimum(events.decimals, 3) * 1_000 + first)
    target[:, 7:] = PAD
    long = np.flatnonzero(events.decimals == 6)
    target[long, 7:] = _THOUSANDTHS[3_000 + last[long]]
