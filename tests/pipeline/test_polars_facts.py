"""What the pipeline relies on in Polars and was once broken in it."""

import numpy as np
import polars as pl
import pytest


@pytest.mark.parametrize("streaming", ["in-memory", "streaming"])
def test_filters_on_uint64_columns_near_2_to_63_lose_no_rows(tmp_path, streaming):
    """Polars 2.0.0 compared Parquet statistics of UInt64 columns as signed: 846,743 of 1,249,041 rows came back."""
    words = np.random.default_rng(1).integers(0, 2**64, 200_000, dtype=np.uint64)
    words[:8] = [0, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 1, 2**62, 2**63 + 2**62]
    path = tmp_path / "words.parquet"
    pl.DataFrame({"word": words}).write_parquet(path, statistics=True, row_group_size=10_000)
    for low, high in (
        (0, 2**64 - 1),
        (2**63, 2**64 - 1),
        (0, 2**63),
        (2**63 - 2**60, 2**63 + 2**60),
        (2**62, 2**63 - 1),
    ):
        wanted = pl.col("word").is_between(pl.lit(low, pl.UInt64), pl.lit(high, pl.UInt64))
        found = pl.scan_parquet(path).filter(wanted).collect(engine=streaming)["word"].to_numpy()
        expected = words[(words >= np.uint64(low)) & (words <= np.uint64(high))]
        assert np.array_equal(np.sort(found), np.sort(expected))


def test_version_is_one_that_is_right():
    assert tuple(int(part) for part in pl.__version__.split(".")[:2]) >= (2, 1)
