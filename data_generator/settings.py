"""Settings of a generated data set: ranges, and a message for each violation."""

import math
from dataclasses import dataclass, fields

MAX_FILES = 9_999
MAX_USERS = 100_000_000
MIN_FILE_BYTES = 2_000
MAX_FILE_BYTES = 400_000_000_000
"""Row numbers within a file are drawn from 32 random bits."""

MAX_UNORIGINAL_SHARE = 0.9
MAX_RARE_SHARE = 0.05
_SHARES = ("duplicates", "cross_file_duplicates", "conflicts", "malformed", "ipv6", "quoted", "special_addresses")
_RARE_SHARES = ("conflicts", "malformed")


@dataclass(frozen=True)
class DataSetSettings:
    """Settings of one generated data set. They alone decide every byte.

    Attributes:
        files: number of CSV files, one day of log each.
        size_bytes: bytes of all files together; met within 2 % from about 1 MB on.
        users: number of users, of whom the first few are very active (Zipf-like).
        duplicates: share of all records that copy a record of the same file.
        cross_file_duplicates: share of all records that copy a record of another file (without effect for one file).
        conflicts: share of all records that send an existing ``log_id`` again with another watch time or user.
        malformed: share of all records that a reader must reject.
        ipv6: share of users whose home address is IPv6.
        quoted: share of events with a quoted (well-formed) device type.
        special_addresses: share of addresses that are private, reserved or no address at all.
        seed: the same settings and seed give the same bytes, whatever the number of workers.

    Raises:
        ValueError: a setting is out of its range; the message names it, its value and the range.
    """

    files: int = 8
    size_bytes: int = 250_000_000
    users: int = 100_000
    duplicates: float = 0.05
    cross_file_duplicates: float = 0.015
    conflicts: float = 0.0001
    malformed: float = 0.00005
    ipv6: float = 0.30
    quoted: float = 0.01
    special_addresses: float = 0.0125
    seed: int = 42

    def __post_init__(self) -> None:
        _check_type(self)
        _check_integer("files", self.files, 1, MAX_FILES)
        _check_integer("users", self.users, 1, MAX_USERS)
        _check_integer("seed", self.seed, 0, 2**64 - 1)
        if self.size_bytes < self.files * MIN_FILE_BYTES:
            raise ValueError(
                f"size_bytes is {self.size_bytes:,}; files ({self.files:,}) need at least "
                f"{self.files * MIN_FILE_BYTES:,} ({MIN_FILE_BYTES:,} each). Ask for fewer files or more bytes."
            )
        if self.size_bytes > self.files * MAX_FILE_BYTES:
            raise ValueError(
                f"size_bytes is {self.size_bytes:,}; files ({self.files:,}) hold at most "
                f"{self.files * MAX_FILE_BYTES:,} ({MAX_FILE_BYTES:,} each). Ask for more files."
            )
        for name in _SHARES:
            _check_share(name, getattr(self, name), MAX_RARE_SHARE if name in _RARE_SHARES else 1.0)
        unoriginal = self.duplicates + self.cross_file_duplicates + self.conflicts + self.malformed
        if unoriginal > MAX_UNORIGINAL_SHARE:
            raise ValueError(
                f"duplicates + cross_file_duplicates + conflicts + malformed is {unoriginal:g}; "
                f"at most {MAX_UNORIGINAL_SHARE:g} is possible, because copies need originals. Lower one of them."
            )


def _check_type(settings: DataSetSettings) -> None:
    for field in fields(settings):
        value = getattr(settings, field.name)
        wanted = (int, float) if field.name in _SHARES else (int,)
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise ValueError(
                f"{field.name} is {value!r}; expected a {'number' if float in wanted else 'whole number'}."
            )


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value:,}; expected a whole number from {low:,} to {high:,}.")


def _check_share(name: str, value: float, high: float) -> None:
    if not (math.isfinite(value) and 0.0 <= value <= high):
        raise ValueError(f"{name} is {value:g}; expected a share from 0 to {high:g} (0.05 is 5 %).")
