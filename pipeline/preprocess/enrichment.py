"""Hashes ids and users and resolves addresses of good rows.

A module of its own, because the kernel and the cross check, which the kernel imports, both call it.
"""

import polars as pl
import polars_hash as plh

from pipeline.geo.addresses import bare_addresses
from pipeline.geo.table import GeoTable
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from pipeline.timing import stage

_WORD = pl.lit(1 << 64, dtype=pl.UInt128)
"""The divisor that splits 128 bits into two halves."""


def enrich(rows: pl.DataFrame, geo: GeoTable, formats: ValueFormats = USUAL_FORMATS) -> pl.DataFrame:
    """Make the columns of ``exchange.split_rows.SplitRows`` from the rows of a ``reading.csv_reader.Batch``, of which
    ``formats`` says how addresses are written.

    ===========================  ==========================================================
    id_hi, id_lo (UInt64)        the halves of xxh3_128 of log_id
    user_hash (UInt64)           xxh3_64 of user_id
    region (UInt16)              the region code of ip_address in ``geo``
    user_id, micro_minutes,      as they are
    offset, timestamp (if any)
    ===========================  ==========================================================
    """
    with stage("hash", len(rows)):
        hashes = (
            rows.lazy()
            .select(
                id=plh.col("log_id").nchash.xxh3_128(),
                user_hash=plh.col("user_id").nchash.xxh3_64(),
            )
            .select(
                id_hi=(pl.col("id") // _WORD).cast(pl.UInt64),
                id_lo=pl.col("id").cast(pl.UInt64, wrap_numerical=True),
                user_hash="user_hash",
            )
            .collect()
        )
    with stage("geo", len(rows)):
        addresses = bare_addresses(rows["ip_address"], formats.addresses, formats.proxies)
        region = pl.Series("region", geo.lookup(addresses), dtype=pl.UInt16)
    return hashes.with_columns(rows.drop("log_id", "ip_address").get_columns()).with_columns(region)
