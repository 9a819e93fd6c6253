"""The check of the geo data."""

import re
from datetime import date
from pathlib import Path

from config import GeographySettings
from pipeline.errors import LogmillError
from pipeline.geo.table import load_geo_table
from pipeline.inspection.doctor.check import Check
from pipeline.machine import cache_folder

OLD_DAYS = 270
"""Addresses move between countries by a few percent a year."""


def check_geo(config: GeographySettings) -> Check:
    """The geo table loads, and is not too old to be true."""
    database = Path(config.GEO_DATABASE) if config.GEO_DATABASE else None
    regions = Path(config.GEO_REGIONS) if config.GEO_REGIONS else None
    try:
        table = load_geo_table(database, config.GEO_LEVEL, regions, cache_folder())
    except LogmillError as fault:
        return Check("geo data", "fail", str(fault), "Name a database that can be read with --geo-db.")
    return judge_age(table.build, date.today())


def judge_age(build: str, today: date) -> Check:
    """By the date at the end of a build's name: 2026-06 or 2026-06-15."""
    match = re.search(r"(\d{4})-(\d{2})(?:-(\d{2}))?$", build)
    if match is None:
        return Check("geo data", "warn", f"{build}, of unknown age", "See that it is recent.")
    days = (today - date(int(match[1]), int(match[2]), int(match[3] or 1))).days
    shown = f"{build}, {days} days old"
    if days > OLD_DAYS:
        return Check("geo data", "warn", shown, "Get a newer Logmill, or name a newer database with --geo-db.")
    return Check("geo data", "ok", shown)
