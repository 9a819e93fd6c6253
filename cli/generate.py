"""``generate``: makes realistic test data, and truth.json with what a run must find in it."""

import errno
import shutil
from dataclasses import asdict
from pathlib import Path

from cli.arguments import Arguments
from cli.console import Answer
from cli.progress import ShownProgress, open_progress
from config import Config
from data_generator.generator import ForeignLogs, check_folder, generate
from data_generator.settings import DataSetSettings
from data_generator.truth import TRUTH_FILE, Truth
from pipeline.engines.limits import check_limits
from pipeline.errors import ConfigError, EnvironmentFault
from utils.units import format_count, format_size


def generate_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Fill a folder with test data, and answer with what is in it.

    Raises:
        ConfigError: settings that do not go together, or a folder that may have somebody's logs.
        EnvironmentFault: the folder cannot be written, or the disk is too small.
    """
    folder = _choose_folder(arguments, config)
    with open_progress(arguments.quiet) as progress:
        truth = make_test_data(config, folder, progress, force=arguments.force)
    answer.give({"folder": str(folder), "truth": str(folder / TRUTH_FILE), **asdict(truth), "files": truth.files})
    if not answer.as_json and not arguments.quiet:
        answer.write(
            f"{format_count(truth.files, 'file')}, {format_size(truth.bytes)}, {format_count(truth.records, 'record')} "
            f"in {folder}: {format_count(truth.distinct_ids, 'event')}, {format_count(truth.duplicates, 'duplicate')}, "
            f"{format_count(truth.conflicts, 'conflict')}, {truth.rejected:,} malformed.\n"
            f"What a run must find in them is in {folder / TRUTH_FILE}.\n"
        )
    return 0


def _choose_folder(arguments: Arguments, config: Config) -> Path:
    """The folder of ``--output``, or the default input folder. Raises ConfigError where that is the user's input."""
    origin = config.origins.get("INPUT_DIR")
    folder = Path(arguments.generate_into or config.INPUT_DIR)
    if origin is None:
        return folder
    if arguments.generate_into is None:
        raise ConfigError(
            f"INPUT_DIR is {config.INPUT_DIR!r} ({origin}), which may have logs of yours: expected a folder for test "
            "data. Name one with --output."
        )
    given = Path(config.INPUT_DIR)
    parent = given.parent if given.is_file() or set(given.name) & set("*?[") else given
    if folder.resolve() == parent.resolve():
        raise ConfigError(f"--output is INPUT_DIR ({origin}), where your logs are: expected another folder. Name one.")
    return folder


def make_test_data(config: Config, folder: Path, progress: ShownProgress, *, force: bool = False) -> Truth:
    """Generate data into ``folder`` by the ``GENERATOR_`` settings. Raises what ``generate_command`` raises."""
    settings = _read_settings(config)
    check_limits(config.PREPROCESSING_WORKERS)
    try:
        if not force:
            check_folder(folder, settings)
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(folder, settings.size_bytes)
        progress.phase("Generating test data", settings.size_bytes)
        return generate(settings, folder, progress.advance, config.PREPROCESSING_WORKERS, force=force)
    except ForeignLogs as foreign:
        raise ConfigError(
            f"{foreign} Name another folder with --output, or say --force: test data is then replaced, and other logs "
            "stay beside it."
        ) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        room = "Free some room, or name" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Name"
        raise EnvironmentFault(f"cannot write test data to {folder}: {reason}. {room} another folder.") from error


def _read_settings(config: Config) -> DataSetSettings:
    try:
        return DataSetSettings(
            files=config.GENERATOR_FILES,
            size_bytes=config.GENERATOR_SIZE,
            users=config.GENERATOR_USERS,
            duplicates=config.GENERATOR_DUPLICATES,
            cross_file_duplicates=config.GENERATOR_CROSS_FILE_DUPLICATES,
            conflicts=config.GENERATOR_CONFLICTS,
            malformed=config.GENERATOR_MALFORMED,
            ipv6=config.GENERATOR_IPV6,
            quoted=config.GENERATOR_QUOTED,
            seed=config.GENERATOR_SEED,
        )
    except ValueError as error:
        raise ConfigError(f"generator settings: {error}") from None


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        raise EnvironmentFault(
            f"{folder} has {format_size(free)} free, test data of {format_size(size)} was asked for. "
            "Name a smaller --size or a folder on another disk."
        )
