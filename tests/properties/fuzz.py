"""The reader against the reference over bytes, for as long as FUZZ_MINUTES says: ``make fuzz``.

Every round takes a new seed. A case that differs, crashes or takes more CPU time than SECONDS is printed as a
reproducer, and the exit code is 1. LOGMILL_TEST_READER names another way of reading (tests/properties/readers.py).
"""

import os
import random
import signal
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.properties.nasty import sizes
from tests.properties.readers import assert_reader_equals_reference, fuzzed_files

SECONDS = 20
ROUND = 500


def main() -> int:
    """Loop over seeds until the time is over; print how many cases were tried and found."""
    signal.signal(signal.SIGPROF, _give_up)
    until = time.monotonic() + 60 * float(os.environ.get("FUZZ_MINUTES", "60"))
    tried = failed = 0
    while time.monotonic() < until:
        number = random.SystemRandom().randrange(2**32)

        @seed(number)
        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(fuzzed_files(), sizes, sizes, st.booleans(), st.booleans())
        def attempt(data: bytes, chunk_bytes: int, split_bytes: int, timestamps: bool, compiled: bool) -> None:
            nonlocal tried
            tried += 1
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            assert_reader_equals_reference(data, chunk_bytes, split_bytes, timestamps=timestamps, compiled=compiled)

        try:
            attempt()
            signal.setitimer(signal.ITIMER_PROF, 0)
        except Exception as fault:
            failed += 1
            print(f"seed {number}: {type(fault).__name__}: {fault}", *getattr(fault, "__notes__", []), sep="\n")
        print(f"{tried} cases tried, {failed} seeds with a failure", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _give_up(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds of CPU time for one case")


if __name__ == "__main__":
    sys.exit(main())
