"""Good rows of the parser: ids and users hashed, addresses resolved."""

import polars as pl
import polars_hash as plh

from pipeline.geo.table import GeoTable
from pipeline.timing import stage

_WORD = pl.lit(1 << 64, dtype=pl.UInt128)


def enrich(rows: pl.DataFrame, geo: GeoTable) -> pl.DataFrame:
    """Hash ids and users and resolve addresses.

    In: the rows of a ``Batch``. Out: id_hi, id_lo, user_hash (UInt64), user_id, region (UInt16), micro_minutes, offset
    and, where given, timestamp.
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
        region = pl.Series("region", geo.lookup(rows["ip_address"]), dtype=pl.UInt16)
    return hashes.with_columns(rows.drop("log_id", "ip_address").get_columns()).with_columns(region)
