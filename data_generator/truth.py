"""The truth about a generated data set, counted while it was made, and its file ``truth.json``."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from data_generator.settings import DataSetSettings

TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class Truth:
    """The right counts of one data set, for ``DEDUPE_KEEP = "longest"``.

    ``records = distinct_ids + duplicates + conflicts + rejected``.

    Attributes:
        records: lines that are records, headers at the top of the files left out.
        distinct_ids: valid ``log_id`` values, so also the number of events kept.
        duplicates: records whose content occurs already under their ``log_id``.
        conflicts: contents that lose against a longer (or otherwise preferred) one of the same ``log_id``.
        rejected: malformed records.
        rejected_by_reason: malformed records per reason; reasons that do not occur are left out.
        total_micro_minutes: sum of the winners' watch times, in millionths of a minute, exact.
        total_watch_time_min: this sum in minutes.
        bytes: size of all files together.
        file_names: the CSV files, in order.
        settings: what was asked for.
    """

    records: int
    distinct_ids: int
    duplicates: int
    conflicts: int
    rejected: int
    rejected_by_reason: dict[str, int]
    total_micro_minutes: int
    total_watch_time_min: float
    bytes: int
    file_names: tuple[str, ...]
    settings: DataSetSettings

    @property
    def files(self) -> int:
        """Number of CSV files."""
        return len(self.file_names)

    @property
    def seed(self) -> int:
        """Seed that the files were made with."""
        return self.settings.seed

    def describes(self, paths: Iterable[Path]) -> bool:
        """Whether these paths are exactly the generated files, by name and total size."""
        found = sorted(paths, key=lambda path: path.name)
        if [path.name for path in found] != list(self.file_names):
            return False
        return sum(path.stat().st_size for path in found) == self.bytes


def write_truth(truth: Truth, folder: Path) -> None:
    """Write ``truth.json``; a reader sees no file or a whole one."""
    temporary = folder / f".{TRUTH_FILE}.tmp"
    content = {**asdict(truth), "files": truth.files, "seed": truth.seed}
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / TRUTH_FILE)


def load_truth(folder: Path) -> Truth | None:
    """Read the truth of a folder; None where there is none.

    Raises:
        ValueError: ``truth.json`` exists but is not one of the generator's.
    """
    path = folder / TRUTH_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}). Delete it or generate the data again.") from error
    try:
        values = {name: content[name] for name in Truth.__dataclass_fields__}
        values["settings"] = DataSetSettings(**values["settings"])
        values["file_names"] = tuple(values["file_names"])
        return Truth(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a truth file of this version ({error}). Generate the data again.") from error
