"""The program against the reference over bytes, for as long as FUZZ_MINUTES says: ``make fuzz``.

Rounds take turns: the reader alone (most of them), archives, and the whole job over files and mended records of theirs.
Every round takes a new seed. A case that differs, crashes or takes more CPU time than SECONDS is printed as a
reproducer, and the exit code is 1. LOGMILL_TEST_READER names another way of reading (tests/properties/readers.py).
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import count

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.properties.archives import archives, assert_archive_is_whole_or_refused
from tests.properties.nasty import keeps, sizes
from tests.properties.readers import assert_reader_equals_reference, fuzzed_files, narrow_limits, parsers
from tests.properties.replays import files_and_replay
from tests.properties.test_laws import assert_equals_reference, run_sizes

SECONDS = 20
_OPTIONS = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate, Phase.shrink],
    "suppress_health_check": list(HealthCheck),
}
tried = 0


@settings(max_examples=500, **_OPTIONS)
@given(fuzzed_files(), sizes, sizes, st.booleans(), parsers, st.booleans())
def read(
    data: bytes, chunk_bytes: int, split_bytes: int, timestamps: bool, parser: dict[str, bool], narrow: bool
) -> None:
    """One file through the reader."""
    _begin()
    with narrow_limits(narrow):
        assert_reader_equals_reference(data, chunk_bytes, split_bytes, timestamps=timestamps, **parser)


@settings(max_examples=500, **_OPTIONS)
@given(archives())
def expand(archive: tuple[str, bytes, bytes, str]) -> None:
    """One archive."""
    _begin()
    assert_archive_is_whole_or_refused(*archive)


@settings(max_examples=100, **_OPTIONS)
@given(files_and_replay(), keeps, run_sizes, st.booleans())
def run(files: list[bytes], keep: str, chosen: dict[str, int], narrow: bool) -> None:
    """The whole job."""
    _begin()
    with narrow_limits(narrow):
        assert_equals_reference(files, keep, chosen)


ATTEMPTS: list[Callable[[], None]] = [read, read, expand, run]


def main() -> int:
    """Loop over seeds until the time is over; print how many cases were tried and found."""
    signal.signal(signal.SIGPROF, _give_up)
    until = time.monotonic() + 60 * float(os.environ.get("FUZZ_MINUTES", "60"))
    failed = 0
    for turn in count():
        if time.monotonic() > until:
            break
        number = random.SystemRandom().randrange(2**32)
        attempt = ATTEMPTS[turn % len(ATTEMPTS)]
        try:
            seed(number)(attempt)()
        except Exception as fault:
            failed += 1
            print(f"seed {number}: {type(fault).__name__}: {fault}", *getattr(fault, "__notes__", []), sep="\n")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(f"{tried} cases tried, {failed} seeds with a failure", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _begin() -> None:
    global tried
    tried += 1
    signal.setitimer(signal.ITIMER_PROF, SECONDS)


def _give_up(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds of CPU time for one case")


if __name__ == "__main__":
    sys.exit(main())
