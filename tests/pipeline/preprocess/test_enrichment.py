"""Hashes are those of the xxhash package, regions those of a table of a few lines."""

import polars as pl
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preprocess.enrichment import enrich
from tests.harness import GEO, region_of

TEXT = st.text(max_size=20)
ADDRESS = st.sampled_from(("1.2.3.4", "2.0.0.1", "8.8.8.8", "10.0.0.1", "::1", "no address", ""))


@given(st.lists(st.tuples(TEXT, TEXT, ADDRESS), max_size=10))
def test_a_row_has_the_hashes_of_its_texts_and_the_region_of_its_address(rows: list[tuple[str, str, str]]) -> None:
    frame = pl.DataFrame(rows, {"log_id": pl.String, "user_id": pl.String, "ip_address": pl.String}, orient="row")
    numbers = range(len(rows))
    frame = frame.with_columns(
        micro_minutes=pl.Series(numbers, dtype=pl.Int64),
        offset=pl.Series(numbers, dtype=pl.UInt32),
        timestamp=pl.Series(numbers, dtype=pl.Int64),
    )
    table = GEO.load()
    found = enrich(frame, table)
    assert set(found.columns) == {
        "id_hi", "id_lo", "user_hash", "user_id", "region", "micro_minutes", "offset", "timestamp",
    }  # fmt: skip
    halves = found.select("id_hi", "id_lo").rows()
    assert [high << 64 | low for high, low in halves] == [xxhash.xxh3_128_intdigest(id_.encode()) for id_, _, _ in rows]
    assert found["user_hash"].to_list() == [xxhash.xxh3_64_intdigest(user.encode()) for _, user, _ in rows]
    assert found["user_id"].to_list() == [user for _, user, _ in rows]
    assert [table.names[code] for code in found["region"]] == [region_of(address) for _, _, address in rows]
    assert found.select("micro_minutes", "offset", "timestamp").rows() == [(n, n, n) for n in numbers]
