"""The settings that the kernels of Phase 2 need."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.exchange.id_index import bucket_shift
from pipeline.exchange.workspace import Workspace
from pipeline.native.library import UsesLibrary


@dataclass(frozen=True)
class AggregateContext(UsesLibrary):
    """Settings of Phase 2 as plain values that cross to worker processes and Spark executors.

    ========================  ==========================================================================
    ``workspace``             where the rows of splits are read, and totals and losers written
    ``keep``                  DEDUPE_KEEP: longest, first or last
    ``buckets``               a power of two
    ``bucket_rows``           most rows that are in memory at once
    ``bucket_bytes``          most memory for these rows, as ``exchange.row_memory`` counts it, and for totals
    ``region_names``          names of the regions by code; their order as text decides ties
    ``library_path``          the compiled library; None where Polars does its work
    ``keep_losers``           whether the contents of losers are written, too, and not only their places
    ``splits``                numbers of the splits that have rows
    ``joined``                numbers of the joined id indexes, where very many splits have some
    ``cross_bucket``          numbers of the id ranges in which cross-bucket ids were found
    ``repeated``              numbers of those in which other repeated ids were found
    ========================  ==========================================================================

    The last four are the same for all tasks, and may be very many.
    """

    workspace: Workspace
    keep: str
    buckets: int
    bucket_rows: int
    region_names: tuple[str, ...]
    library_path: str | None = None
    keep_losers: bool = False
    bucket_bytes: int = 2**40
    splits: Sequence[int] = ()
    joined: Sequence[int] = ()
    cross_bucket: Sequence[int] = ()
    repeated: Sequence[int] = ()

    @property
    def bucket_shift(self) -> int:
        """How many bits to shift a fine bucket number to the right for its bucket."""
        return bucket_shift(self.buckets)
