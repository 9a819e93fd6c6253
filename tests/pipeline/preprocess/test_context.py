"""Whoever changes what the same bytes become must raise ``fingerprint.FORMAT``: the store would mix old and new."""

import hashlib

import numpy as np
import polars as pl
import pytest

from pipeline.exchange.workspace import split_file
from pipeline.preprocess.context import FORMAT
from tests.harness import HEADER, Harness

ROWS = b"".join(
    b'id-%d,u%d,2026-01-0%dT00:00:00Z,"v, %d",tv,%d.2.3.4,%d.5\n' % (n % 70, n % 9, n % 9 + 1, n, n % 4, n % 13)
    for n in range(200)
)
BROKEN = b'x,,t,v,tv,1.1.1.1,1\ny,u,t,v,tv,1.1.1.1,"1,5"\n\n'
KNOWN = {4: "b1bdb8b4ed5f1d726da989eaab2f93ae3b8f951ea01e268abc8b8533d8a398e6"}


@pytest.mark.parametrize("compiled", [True, False])
def test_the_files_of_a_split_are_those_of_this_format(compiled: bool) -> None:
    with Harness([HEADER + ROWS + BROKEN], compiled=compiled, split_bytes=3000, keep="first") as harness:
        outcome = harness.read()
        digest = hashlib.sha256()
        for split in outcome.splits:
            number, result = split.result.split.number, split.result
            rows = pl.read_parquet(harness.workspace.path("rows", split_file(number)))
            digest.update(
                repr((rows.schema, rows.rows(), tuple(result.bucket_rows), result.rejected_by_reason)).encode()
            )
            digest.update(np.load(harness.workspace.path("index", split_file(number, "npy"))).tobytes())
    assert KNOWN.get(FORMAT) == digest.hexdigest(), (
        "raise pipeline.preprocess.context.FORMAT, and add the new digest here"
    )
