"""The context of the kernels of publication."""

from dataclasses import dataclass

from pipeline.exchange.workspace import Workspace
from pipeline.native.library import UsesLibrary


@dataclass(frozen=True)
class PublishContext(UsesLibrary):
    """Settings of publication as plain values that cross to worker processes and Spark executors.

    ========================  ==========================================================================
    ``workspace``             folder of totals, and of rows and line numbers of splits
    ``version``               name of the new version: a part of its files' names
    ``file_rows``             most rows of an output file, about
    ``compression``           codec of the output files, or ``none``
    ``max_record``            longest record, in bytes
    ``keep_raw``              whether the quarantine keeps the bytes of records
    ``region_names``          names of the regions by code
    ``held_bytes``            most memory for the totals that a task has read
    ``library_path``          the compiled library; None where NumPy does its work
    ========================  ==========================================================================
    """

    workspace: Workspace
    version: str
    file_rows: int
    compression: str
    max_record: int
    keep_raw: bool
    region_names: tuple[str, ...]
    held_bytes: int = 2**40
    library_path: str | None = None
