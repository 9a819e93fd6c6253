"""What the kernels of publication need to know."""

from dataclasses import dataclass

from pipeline.exchange.workspace import Workspace


@dataclass(frozen=True)
class PublishContext:
    """Settings of publication as plain values that cross to worker processes and Spark executors.

    ========================  ==========================================================================
    ``workspace``             where totals, rows and line positions of splits are read
    ``version``               name of the new version, which its files bear
    ``file_rows``             rows of an output file, about
    ``compression``           codec of the output files
    ``max_record``            longest record, in bytes
    ``keep_raw``              whether the quarantine keeps the bytes of records
    ``region_names``          names of the regions by code
    ========================  ==========================================================================
    """

    workspace: Workspace
    version: str
    file_rows: int
    compression: str
    max_record: int
    keep_raw: bool
    region_names: tuple[str, ...]
