"""Checks of what is installed: Python, the packages, and the geo table."""

import platform
import re
import sys
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config import GeographySettings
from pipeline.errors import LogmillError, install_command
from pipeline.geo.table import load_geo_table
from pipeline.inspection.doctor.check import Check
from pipeline.machine import cache_folder

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.txt"
DELTA_REQUIREMENTS = REQUIREMENTS.with_name("requirements-delta.txt")
OLDEST_PYTHON = (3, 11)
_PINNED = r'^([\w-]+)==(\S+)(?: ; python_version < "([\d.]+)")?'
OLD_DAYS = 270
"""Age from which a geo table is old: a few percent of all addresses move to another country in a year."""


def check_python(python_version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check that Python is 3.11 or later."""
    found = f"{platform.python_implementation()} {'.'.join(map(str, python_version))}"
    if python_version < OLDEST_PYTHON:
        return Check("python", "fail", found, "Install Python 3.11 or later and make the virtual environment anew.")
    return Check("python", "ok", found)


def check_packages(requirements: Path = REQUIREMENTS) -> Check:
    """Check that the packages have the versions of requirements.txt: another version may write other bytes, or lose
    rows."""
    try:
        text = requirements.read_text(encoding="utf-8")
    except OSError as fault:
        return Check("packages", "warn", f"{requirements} cannot be read: {fault.strerror}", "Restore it.")
    pinned = {
        name: pin
        for name, pin, below in re.findall(_PINNED, text, flags=re.MULTILINE)
        if not below or sys.version_info < tuple(map(int, below.split(".")))
    }
    installed = {name: _installed_version(name) for name in pinned}
    wrong = {name: installed[name] for name, pin in pinned.items() if installed[name] != pin}
    if wrong:
        found = ", ".join(f"{name} {other or 'missing'} (not {pinned[name]})" for name, other in wrong.items())
        fix = f"Run: {install_command(str(requirements))}"
        return Check("packages", "fail" if None in wrong.values() else "warn", found, fix)
    return Check("packages", "ok", f"{len(pinned)} packages as pinned")


def check_delta(requirements: Path = DELTA_REQUIREMENTS) -> Check:
    """Check that the packages for TABLE_FORMAT = delta are there, in the versions of requirements-delta.txt."""
    return replace(check_packages(requirements), name="delta table")


def check_geo(config: GeographySettings) -> Check:
    """Check that the geo table loads and is not old."""
    database = Path(config.GEO_DATABASE) if config.GEO_DATABASE else None
    regions = Path(config.GEO_REGIONS) if config.GEO_REGIONS else None
    try:
        table = load_geo_table(database, config.GEO_LEVEL, regions, cache_folder())
    except LogmillError as fault:
        return Check("geo data", "fail", str(fault), "Name a database that can be read with --geo-db.")
    return judge_age(table.build, date.today())


def judge_age(build: str, today: date) -> Check:
    """Judge the age of a database by the date at the end of its build's name, such as 2026-06 or 2026-06-15."""
    match = re.search(r"(\d{4})-(\d{2})(?:-(\d{2}))?$", build)
    if match is None:
        return Check("geo data", "warn", f"{build}, of unknown age", "See that it is recent.")
    days = (today - date(int(match[1]), int(match[2]), int(match[3] or 1))).days
    found = f"{build}, {days} days old"
    if days > OLD_DAYS:
        return Check("geo data", "warn", found, "Get a newer Logmill, or name a newer database with --geo-db.")
    return Check("geo data", "ok", found)


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
