"""Copies the rows of files that ``geo-diff`` cannot read again from the store into its workspace."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exchange.row_files import BUCKETS_KEY, mean_text_bytes, rows_writer
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.geo.ranges import U16
from pipeline.history.known_files import ledger_of
from pipeline.inspection.explain.published import Published
from pipeline.inspection.geo_diff.pairs import UNREAD, split_pair
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit


def copy_unread(
    published: Published,
    workspace: Workspace,
    old_names: Sequence[str],
    pair_names: Sequence[str],
    phase1: Phase1Result,
    unread: Mapping[int, str],
) -> list[FileLedger]:
    """Copy the rows of the unread files into the workspace: they still decide which rows of other files count.

    Args:
        published: the version, whose store has the rows.
        workspace: where the rows of this comparison lie.
        old_names: regions by code of the rows in the store.
        pair_names: names of pairs by code of the rows in the workspace; an unread row has the pair (old, ``UNREAD``).
        phase1: the splits that were read again; the copied splits get the numbers after theirs.
        unread: the reason for each file that cannot be read again, by the file's id.

    Returns:
        the ledgers of the unread files, with the new numbers of their splits.
    """
    codes = {split_pair(name): code for code, name in enumerate(pair_names)}
    pair_of = np.array([codes[name, UNREAD] for name in old_names], np.uint16)
    number = max((split.result.split.number for split in phase1.splits), default=0)
    ledgers = []
    for file in published.counted:
        if file.id not in unread:
            continue
        ledger = ledger_of(file, file.path, at_hand=False)
        placed = []
        for split in ledger.splits:
            number += 1
            moved = replace(split.result, split=replace(split.result.split, number=number))
            placed.append(PlacedSplit(moved, split.first_line))
            if moved.handed_over:
                _copy_rows(published.store, split.result.split.number, workspace, number, pair_of)
        ledgers.append(replace(ledger, splits=tuple(placed)))
    return ledgers


def _copy_rows(store: Workspace, number: int, target: Workspace, new_number: int, pair_of: U16) -> None:
    """Copy a split's index, and its rows with other region codes, row group by row group."""
    shutil.copyfile(store.path("index", split_file(number, "npy")), target.path("index", split_file(new_number, "npy")))
    source = pq.ParquetFile(store.path("rows", split_file(number)))
    schema = source.schema_arrow.with_metadata({BUCKETS_KEY: source.schema_arrow.metadata[BUCKETS_KEY]})
    with rows_writer(target.path("rows", split_file(new_number)), schema, mean_text_bytes(source)) as writer:
        number_of_region = source.schema_arrow.get_field_index("region")
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            codes = pa.array(pair_of[rows["region"].to_numpy()])
            rows = rows.set_column(number_of_region, source.schema_arrow.field(number_of_region), codes)
            writer.write_table(rows, row_group_size=max(1, len(rows)))
