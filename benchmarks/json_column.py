"""The generator's logs with one column more: a JSON object in every record, whose quotes are doubled (RFC 4180)."""

import shutil
from pathlib import Path

import polars as pl

from benchmarks.data import job_settings
from data_generator.generator import generate

COLUMN = "details"
_BASE_SHARE = 0.7444
"""Of the bytes of all, those of the generator."""


def write_logs(size: int, folder: Path, workers: int) -> None:
    """Write files of about ``size`` bytes in all into ``folder``; the generator's own lie there for that time."""
    base = folder / "base"
    generate(job_settings(round(size * _BASE_SHARE)), base, workers=workers)
    for source in sorted(base.glob("*.csv")):
        add_column(source, folder / source.name)
        source.unlink()
    shutil.rmtree(base)


def add_column(source: Path, target: Path) -> None:
    """Write the records of ``source`` in their order, each with its object, which names video and second."""
    second = pl.col("timestamp").str.slice(17, 2).cast(pl.UInt8)
    parts = (pl.lit('{"title":"'), pl.col("video_id"), pl.lit('","ep":'), second, pl.lit("}"))
    details = pl.concat_str(parts).alias(COLUMN)
    pl.scan_csv(source, infer_schema=False).with_columns(details).sink_csv(target)
