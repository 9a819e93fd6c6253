"""One round: everybody in turn on the same files, several times, and whether all results agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.agreement import Digest, difference, keep_result
from benchmarks.contenders import Contender, clean, environment
from benchmarks.measure import Limits, Measurement, measure
from utils.units import format_seconds, format_size


@dataclass(frozen=True)
class Round:
    """All runs on one input of ``bytes_read``, and the result that they agree on.

    ``failed``: who did not finish, and why; ``wrong``: whose result differs, or where Logmill itself failed.
    """

    bytes_read: int
    runs: Mapping[Contender, Sequence[Measurement]]
    digest: Digest | None
    failed: Mapping[Contender, str]
    wrong: Mapping[Contender, str]

    def seconds(self, *names: str) -> float | None:
        """Median time of the fastest of the contenders so named; None where none took part."""
        return min((median(run.seconds for run in self.runs[c]) for c in self.runs if c.name in names), default=None)

    def peak(self, *names: str) -> float | None:
        """Greatest memory of the most frugal of the contenders so named, in bytes; None where none took part."""
        return min((max(run.peak_bytes for run in self.runs[c]) for c in self.runs if c.name in names), default=None)


def run_round(
    contenders: Sequence[Contender], logs: Path, geo: Path, results: Path, runs: int, limits: Limits
) -> Round:
    """All contenders ``runs`` times each in alternating order; who fails or disagrees with the first takes no further
    part. ``results`` holds what a run writes, and nothing of the run before."""
    files = sorted(logs.glob("*.csv"))
    _warm(files)
    found: dict[Contender, list[Measurement]] = {contender: [] for contender in contenders}
    failed: dict[Contender, str] = {}
    wrong: dict[Contender, str] = {}
    digest: Digest | None = None
    first, agreed = "", results.with_name("agreed.parquet")
    for number in range(runs):
        # Turned by one each time, so that nobody always follows the same neighbour.
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            if contender in failed or contender in wrong:
                continue
            clean(results)
            measured = measure(contender.command(logs, geo, results), environment(results), limits)
            _say(contender, measured)
            if measured.failure:
                (wrong if contender.engine else failed)[contender] = measured.failure
                continue
            found[contender].append(measured)
            if not contender.has_result:
                continue
            if digest is None:
                first, digest = contender.title, keep_result(results / "data", agreed)
            elif differs := difference(agreed, results / "data", exact=bool(contender.engine)):
                wrong[contender] = f"its result differs from that of {first}: {differs}"
    clean(results)
    agreed.unlink(missing_ok=True)
    kept = {
        contender: measured for contender, measured in found.items() if measured and contender not in failed | wrong
    }
    size = sum(path.stat().st_size for path in files)
    return Round(size, kept, digest, failed, wrong)


def _say(contender: Contender, measured: Measurement) -> None:
    result = measured.failure or f"{format_seconds(measured.seconds)}, {format_size(measured.peak_bytes)}"
    print(f"{contender.name}: {result}", flush=True)


def _warm(files: Sequence[Path]) -> None:
    """Read all input once, so that the first contender does not pay for the disk."""
    for path in files:
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
