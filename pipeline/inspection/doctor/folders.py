"""Checks of the folders that a run reads and writes: permission, room, speed, links. They remove what they write."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import MachineSettings
from pipeline.errors import ConfigError, InputError, LogmillError
from pipeline.inspection.doctor.check import Check
from pipeline.machine import display_name, existing_parent
from pipeline.planning.planner import INTERMEDIATE_SHARE
from pipeline.reading.input_files import find_inputs, total_size
from pipeline.storage.urls import is_url
from pipeline.versions.folders import local_intermediate
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import open_output
from utils.units import format_count, format_size

_NAME_INPUT = "Name your logs with --input; without any, the first run makes test data."
LITTLE_ROOM = 10**9
PROBE_BYTES = 64 * 2**20
SLOW_BYTES_PER_SECOND = 100e6


def check_input_and_intermediate(config: MachineSettings) -> Iterator[Check]:
    """Check the input, the room for its intermediate files, and the speed of their disk."""
    size = 0
    try:
        paths, skipped = find_inputs(config.INPUT_DIR, config.ROTATED_NAMES)
        size = total_size(paths)
        others = f", {format_count(len(skipped), 'other file')} skipped" if skipped else ""
        found = f"{format_count(len(paths), 'file')}, {format_size(size)} in {display_name(config.INPUT_DIR)}{others}"
        yield Check("input", "ok", found) if paths else Check("input", "warn", found, _NAME_INPUT)
    except (InputError, OSError) as fault:
        yield Check("input", "warn", str(fault), _NAME_INPUT)
    folder = existing_parent(local_intermediate(config.INTERMEDIATE_DIR))
    if is_url(config.INTERMEDIATE_DIR):
        size = 0  # of the driver's part alone
    yield _check_room("intermediate room", folder, int(size * INTERMEDIATE_SHARE), "--intermediate")
    yield _check_speed("intermediate speed", folder, "--intermediate")


def check_output(config: MachineSettings) -> Iterator[Check]:
    """Check the place of OUTPUT_DIR, whether links can be made and replaced beside it, and the room and speed of its
    disk."""
    if is_url(config.OUTPUT_DIR):
        yield _check_storage(config)
        return
    output = Output(config.OUTPUT_DIR)
    folder = existing_parent(output.link.parent)
    yield _check_link(output, folder)
    yield _check_room("output room", folder, 0, "--output")
    yield _check_speed("output speed", folder, "--output")


@contextmanager
def scratch_in(parent: Path) -> Iterator[Path]:
    """A hidden folder in ``parent`` that is removed at the end. Raises OSError where it cannot be made."""
    with tempfile.TemporaryDirectory(prefix=".logmill-doctor-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _check_room(name: str, folder: Path, need: int, option: str) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{format_size(free)} free in {folder}" + (f", about {format_size(need)} needed" if need else "")
    fix = f"Free some room, or name a folder on another disk with {option}."
    if free < need:
        return Check(name, "fail", found, fix)
    return Check(name, "warn", found, fix) if free < LITTLE_ROOM else Check(name, "ok", found)


def _check_speed(name: str, folder: Path, option: str) -> Check:
    """Write PROBE_BYTES to the disk: where that fails, a run would fail too."""
    block = os.urandom(2**20)
    try:
        with scratch_in(folder) as scratch:
            begin = time.monotonic()
            with (scratch / "probe").open("wb") as stream:
                for _ in range(PROBE_BYTES // len(block)):
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            speed = PROBE_BYTES / (time.monotonic() - begin)
    except OSError as fault:
        fix = f"Change the permission or free some room, or name another folder with {option}."
        return Check(name, "fail", f"cannot write in {folder}: {fault.strerror or fault}", fix)
    found = f"{format_size(speed)}/s written in {folder}"
    if speed < SLOW_BYTES_PER_SECOND:
        return Check(name, "warn", found, f"The disk will hold a run up: name a faster one with {option}.")
    return Check(name, "ok", found)


def _check_storage(config: MachineSettings) -> Check:
    """Whether the storage of the output answers and keeps its word; see ``StorageOutput.check``."""
    try:
        open_output(config.OUTPUT_DIR).check()
    except LogmillError as fault:
        return Check("output storage", "fail", str(fault), "Choose another --output, or correct what is named.")
    return Check("output storage", "ok", f"{config.OUTPUT_DIR} answers and refuses to create what exists")


def _check_link(output: Output, folder: Path) -> Check:
    try:
        output.check_place()
    except ConfigError as fault:
        return Check("output link", "fail", str(fault), "Choose another --output.")
    try:
        with scratch_in(folder) as scratch:
            (scratch / "old").symlink_to("first")
            (scratch / "new").symlink_to("second")
            (scratch / "new").replace(scratch / "old")
            replaced = os.readlink(scratch / "old") == "second"
    except OSError as fault:
        fix = "Choose an --output on a file system that has symbolic links and where you may write."
        return Check("output link", "fail", f"cannot make a link in {folder}: {fault.strerror or fault}", fix)
    if not replaced:
        return Check("output link", "fail", f"a link in {folder} is not replaced by rename", "Choose another --output.")
    state = "is published" if output.link.is_symlink() else "is free"
    return Check("output link", "ok", f"{display_name(str(output.link))} {state}; links can be made and replaced")
