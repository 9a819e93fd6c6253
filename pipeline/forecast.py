"""What a run would do and take, found without changing anything: for ``plan``."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.archives import Expanded, expand_beginning, is_archive
from pipeline.errors import FileRefused
from pipeline.geo import GeoTable
from pipeline.header import Names, without_fields
from pipeline.masking import mask_addresses
from pipeline.outlook import Stock
from pipeline.pace import Pace
from pipeline.planner import Plan, plan
from pipeline.prediction import Prediction, Work, predict
from pipeline.sample import Sample, take_sample
from pipeline.splits import InputFile, open_inputs
from utils.metrics import usable_cores

_GLANCE_BYTES = 512 * 2**10


@dataclass(frozen=True)
class Forecast:
    """``stock``: what would happen to every file; ``refused``: reasons of files that could not be read, by path;
    ``learned``: whether times are by the pace of earlier runs on this machine."""

    plan: Plan
    prediction: Prediction
    sample: Sample
    stock: Stock
    refused: dict[str, str]
    engine: str
    learned: bool


def forecast(
    config: Config,
    stock: Stock,
    geo: GeoTable,
    columns: tuple[Names, Names],
    *,
    engine: str,
    compiled: bool,
    pace: Pace,
) -> Forecast:
    """Plan and predict a run over ``stock``. ``columns``: header names that are required, and others that are read.

    ``engine``: who adds up: ``polars``, ``spark`` or ``sql``. Raises EnvironmentFault where no worker fits.
    """
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        files, reasons = _glance(stock.paths, columns, config.MAX_RECORD_BYTES, Path(folder))
        sizes = plan(config, files, spark=engine != "polars")
        work = Work(take_sample(files, geo), stock.known_rows, engine, compiled, usable_cores())
    hide = without_fields if config.PSEUDONYMIZE_USERS else mask_addresses  # the line shown may be a record
    refused = {path: hide(reason) for path, reason in reasons.items()}
    return Forecast(sizes, predict(sizes, work, pace), work.sample, stock, refused, engine, pace.learned)


def _glance(
    paths: Sequence[str], columns: tuple[Names, Names], max_record: int, folder: Path
) -> tuple[list[InputFile], dict[str, str]]:
    """Headers of all files; of a compressed one only the beginning is expanded, into ``folder``."""
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for number, path in enumerate(path for path in paths if is_archive(path)):
        try:
            expanded[path] = expand_beginning(path, folder / str(number), _GLANCE_BYTES)
        except FileRefused as reason:
            refused[path] = str(reason)
    required, optional = columns
    readable = [path for path in paths if path not in refused]
    files, headless = open_inputs(readable, required, max_record, optional, expanded)
    return files, refused | headless
