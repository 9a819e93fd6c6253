"""Checks of the folders a run writes to: permission, room, speed, and links. What they write they remove."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import MachineSettings
from pipeline.errors import ConfigError, InputError
from pipeline.inspection.doctor.check import Check
from pipeline.machine import display_name
from pipeline.planning.planner import INTERMEDIATE_SHARE
from pipeline.reading.input_files import find_inputs
from pipeline.versions.output_link import Output
from utils.units import format_size

_NAME_INPUT = "Name your logs with --input; without any, the first run makes test data."
LITTLE_ROOM = 10**9
PROBE_BYTES = 64 * 2**20
SLOW_BYTES_PER_SECOND = 100e6


def check_input_and_intermediate(config: MachineSettings) -> Iterator[Check]:
    """The logs at hand, room for what a run makes of them, and the speed of that disk."""
    size = 0
    try:
        paths, skipped = find_inputs(config.INPUT_DIR)
        size = sum(os.path.getsize(path) for path in paths)
        others = f", {len(skipped)} other files skipped" if skipped else ""
        shown = f"{len(paths):,} files, {format_size(size)} in {display_name(config.INPUT_DIR)}{others}"
        yield Check("input", "ok", shown) if paths else Check("input", "warn", shown, _NAME_INPUT)
    except (InputError, OSError) as fault:
        yield Check("input", "warn", str(fault), _NAME_INPUT)
    place = existing_parent(Path(config.INTERMEDIATE_DIR))
    yield _check_room("intermediate room", place, int(size * INTERMEDIATE_SHARE), "--intermediate")
    yield _check_speed("intermediate speed", place, "--intermediate")


def check_output(config: MachineSettings) -> Iterator[Check]:
    """What stands at OUTPUT_DIR, room, speed, and whether links can be made and replaced beside it."""
    output = Output(config.OUTPUT_DIR)
    place = existing_parent(output.link.parent)
    yield _check_link(output, place)
    yield _check_room("output room", place, 0, "--output")
    yield _check_speed("output speed", place, "--output")


def existing_parent(path: Path) -> Path:
    """The folder, or the nearest above it that exists: there a run would make the rest."""
    whole = path.absolute()
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())


@contextmanager
def scratch_in(place: Path) -> Iterator[Path]:
    """A hidden folder in ``place``, removed at the end. Raises OSError where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix=".logmill-doctor-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _check_room(name: str, place: Path, need: int, option: str) -> Check:
    free = shutil.disk_usage(place).free
    shown = f"{format_size(free)} free in {place}" + (f", about {format_size(need)} needed" if need else "")
    fix = f"Free some room, or name a folder on another disk with {option}."
    if free < need:
        return Check(name, "fail", shown, fix)
    return Check(name, "warn", shown, fix) if free < LITTLE_ROOM else Check(name, "ok", shown)


def _check_speed(name: str, place: Path, option: str) -> Check:
    """Writes 64 MB to the disk; where that does not work, neither will a run."""
    block = os.urandom(2**20)
    try:
        with scratch_in(place) as folder:
            begin = time.monotonic()
            with (folder / "probe").open("wb") as stream:
                for _ in range(PROBE_BYTES // len(block)):
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            speed = PROBE_BYTES / (time.monotonic() - begin)
    except OSError as fault:
        fix = f"Mend the permission or free some room, or name another folder with {option}."
        return Check(name, "fail", f"cannot write in {place}: {fault.strerror or fault}", fix)
    shown = f"{format_size(speed)}/s written in {place}"
    if speed < SLOW_BYTES_PER_SECOND:
        return Check(name, "warn", shown, f"The disk will hold a run up: name a faster one with {option}.")
    return Check(name, "ok", shown)


def _check_link(output: Output, place: Path) -> Check:
    try:
        output.check_place()
    except ConfigError as fault:
        return Check("output link", "fail", str(fault), "Choose another --output.")
    try:
        with scratch_in(place) as folder:
            (folder / "old").symlink_to("first")
            (folder / "new").symlink_to("second")
            (folder / "new").replace(folder / "old")
            replaced = os.readlink(folder / "old") == "second"
    except OSError as fault:
        fix = "Choose an --output on a file system that has symbolic links and where you may write."
        return Check("output link", "fail", f"cannot make a link in {place}: {fault.strerror or fault}", fix)
    if not replaced:
        return Check("output link", "fail", f"a link in {place} is not replaced by rename", "Choose another --output.")
    state = "is published" if output.link.is_symlink() else "is free"
    return Check("output link", "ok", f"{display_name(str(output.link))} {state}; links can be made and replaced")
