"""The memory limit holds however long the fields of a record are, up to MAX_RECORD_BYTES; and the result is right.

A test of 300 MB takes more than a gigabyte where a size counts rows. The whole sizes (``slow``) are those of the issue.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from tests.end_to_end.command import command
from tests.end_to_end.program import HEADER, environment
from tests.end_to_end.test_memory import LIMIT, run_watched

KILO, MEGA = 10_000, 2**20 - 300


@dataclass(frozen=True)
class Wide:
    """Logs of ``events`` records whose field ``field`` has ``width`` bytes, by ``users`` users in turn.

    ``copies``: how often each log_id occurs, each time with one minute more: all but the longest are conflicts.
    """

    events: int
    width: int
    field: str = "user"
    users: int | None = None
    copies: int = 1

    @property
    def people(self) -> int:
        return self.users or self.events

    def user(self, number: int) -> str:
        return self._filled(f"u{number}", "user")

    def minutes(self, number: int) -> int:
        return number % 7 + self.copies

    def _filled(self, text: str, field: str) -> str:
        return text.ljust(self.width, "x") if field == self.field else text

    def lines(self) -> Iterator[str]:
        for number in range(self.events):
            for copy in range(self.copies):
                log, video = self._filled(f"l{number}", "log"), self._filled(f"v{number}", "video")
                minutes = number % 7 + copy + 1
                yield (
                    f"{log},{self.user(number % self.people)},2026-11-01T10:00:{copy:02}Z,{video},tv,"
                    f"8.8.8.{number % 250},{minutes}\n"
                )

    def write(self, folder: Path) -> None:
        """Two files, of which the first has only a twentieth of the records, so that samples are of short files too."""
        folder.mkdir()
        for name, share in (("a", range(self.events // 20)), ("b", range(self.events // 20, self.events))):
            lines = self.lines()
            with (folder / f"{name}.csv").open("w") as stream:
                stream.write(HEADER)
                for number in range(self.events):
                    of_event = [next(lines) for _ in range(self.copies)]
                    if number in share:
                        stream.writelines(of_event)

    def check(self, answer: dict, output: Path) -> None:
        """Compare with what was written."""
        assert answer["records_read"] == self.events * self.copies
        assert answer["kept"] == self.events
        assert answer["conflicts"] == self.events * (self.copies - 1)
        assert (answer["users"], answer["rejected"]) == (self.people, 0)
        expected: dict[str, list[int]] = {}
        for number in range(self.events):
            total = expected.setdefault(f"u{number % self.people}", [0, 0])
            total[0] += self.minutes(number)
            total[1] += 1
        found: dict[str, list[float]] = {}
        for path in sorted(output.resolve().glob("geo_region=*/*.parquet")):
            for batch in pl.scan_parquet(path, glob=False).collect_batches(chunk_size=1000):
                for user, minutes, events in batch.iter_rows():
                    assert len(user) == (self.width if self.field == "user" else len(user))
                    total = found.setdefault(user.rstrip("x"), [0.0, 0])
                    total[0] += minutes
                    total[1] += events
        assert found == expected


CASES = {
    "users of 10 kB": Wide(30_000, KILO),
    "users of 1 MiB": Wide(300, MEGA),
    "log ids of 1 MiB": Wide(300, MEGA, "log", users=7),
    "videos of 10 kB, which nobody needs": Wide(30_000, KILO, "video", users=900),
    "one user of 100 kB has all events": Wide(3_000, 100_000, users=1),
    "a few users of 1 MiB": Wide(300, MEGA, users=5),
    "conflicts of users of 10 kB": Wide(6_000, KILO, copies=5),
}


def run_within_the_limit(case: Wide, tmp_path: Path, **settings: str) -> None:
    case.write(tmp_path / "logs")
    answer, peak = run_watched(tmp_path, "--input", "logs", **settings)
    assert peak < LIMIT
    assert answer["peak_memory_bytes"] < LIMIT
    case.check(answer, tmp_path / "pipeline_data" / "output")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("users")])
def test_long_fields_stay_within_the_limit(name: str, tmp_path: Path) -> None:
    run_within_the_limit(CASES[name], tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("users of 10 kB", {"DEDUPE_KEEP": "last"}),
        ("users of 10 kB", {"COMPILED_PARSER": "false"}),
        ("users of 1 MiB", {"COMPILED_PARSER": "false"}),
        ("conflicts of users of 10 kB", {"DEDUPE_KEEP": "last"}),
    ],
    ids=["10 kB, last", "10 kB, Polars", "1 MiB, Polars", "10 kB, conflicts, last"],
)
def test_long_fields_stay_within_the_limit_with_any_settings(
    name: str, settings: dict[str, str], tmp_path: Path
) -> None:
    run_within_the_limit(CASES[name], tmp_path, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("case", [Wide(100_000, KILO), Wide(1_000, MEGA)], ids=["10 kB", "1 MiB"])
def test_a_gigabyte_of_long_fields_stays_within_the_limit(case: Wide, tmp_path: Path) -> None:
    """The cases of users, three times as large."""
    run_within_the_limit(case, tmp_path)


def test_wide_records_behind_narrow_ones(tmp_path: Path) -> None:
    """The sample sees short lines, by which the sizes are chosen; 250 MB of long ones follow, and a further day."""
    (tmp_path / "logs").mkdir()
    narrow, wide = 400_000, 25_000
    with (tmp_path / "logs" / "a.csv").open("w") as stream:
        stream.write(HEADER)
        stream.writelines(f"n{n},m{n % 1000},,,,9.9.9.9,1\n" for n in range(narrow))
    with (tmp_path / "logs" / "b.csv").open("w") as stream:
        stream.write(HEADER)
        stream.writelines(f"s{n},m{n % 1000},,,,9.9.9.9,1\n" for n in range(narrow))
        stream.writelines(f"w{n},{f'u{n}'.ljust(KILO, 'x')},,,,9.9.9.9,2\n" for n in range(wide))
    answer, peak = run_watched(tmp_path, "--input", "logs")
    assert peak < LIMIT
    assert (answer["kept"], answer["users"]) == (2 * narrow + wide, 1000 + wide)
    assert answer["total_watch_time_min"] == 2 * narrow + 2 * wide
    with (tmp_path / "logs" / "c.csv").open("w") as stream:
        stream.write(HEADER)
        stream.writelines(f"x{n},{f'u{n}'.ljust(KILO, 'x')},,,,9.9.9.9,3\n" for n in range(500))
    answer, peak = run_watched(tmp_path, "--input", "logs")
    assert peak < LIMIT
    assert (answer["kept"], answer["users"]) == (2 * narrow + wide + 500, 1000 + wide)
    assert answer["total_watch_time_min"] == 2 * narrow + 2 * wide + 1500


def test_pseudonyms_of_long_ids(tmp_path: Path) -> None:
    case = Wide(20_000, KILO)
    case.write(tmp_path / "logs")
    (tmp_path / "key").write_bytes(b"k" * 32)
    answer, peak = run_watched(
        tmp_path, "--input", "logs", PSEUDONYMIZE_USERS="true", PSEUDONYM_KEY_FILE=str(tmp_path / "key")
    )
    assert peak < LIMIT
    assert (answer["kept"], answer["users"]) == (case.events, case.events)


def test_a_limit_too_small_for_one_record_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "l,u,,,,9.9.9.9,1\n")
    options = ("run", "--engine", "polars", "--input", "a.csv", "--memory-limit", "1GB")
    ended = command(*options, cwd=tmp_path, env=environment(MAX_RECORD_BYTES="64MiB"))
    assert ended.code == 5
    assert "too little for one worker for records of" in ended.err
    assert "MAX_RECORD_BYTES" in ended.err
    assert command(*options, cwd=tmp_path, env=environment(MAX_RECORD_BYTES="16MiB")).code == 0
