"""Files that ``regeo`` cannot read again take part with the rows that earlier runs made of them."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exchange.row_files import rows_writer
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.geo.ranges import U16
from pipeline.history.journal import ledger_of
from pipeline.inspection.explain.published import Published
from pipeline.inspection.regeo.pairs import NOT_EXAMINED, split_pair
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit


def take_unread(
    published: Published,
    workspace: Workspace,
    old_names: Sequence[str],
    pair_names: Sequence[str],
    phase1: Phase1Result,
    unread: Mapping[int, str],
) -> list[FileLedger]:
    """What earlier runs made of the files ``unread`` (reasons by id), copied into the workspace, each region as a pair
    of which half is known: their records still decide which of the others count."""
    codes = {split_pair(name): code for code, name in enumerate(pair_names)}
    pair_of = np.array([codes[name, NOT_EXAMINED] for name in old_names], np.uint16)
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
    """A split's rows with other region codes, row group by row group, and its index as it is."""
    shutil.copyfile(store.path("index", split_file(number, "npy")), target.path("index", split_file(new_number, "npy")))
    source = pq.ParquetFile(store.path("rows", split_file(number)))
    with rows_writer(target.path("rows", split_file(new_number)), source.schema_arrow) as writer:
        place = source.schema_arrow.get_field_index("region")
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            codes = pa.array(pair_of[rows["region"].to_numpy()])
            rows = rows.set_column(place, source.schema_arrow.field(place), codes)
            writer.write_table(rows, row_group_size=max(1, len(rows)))
