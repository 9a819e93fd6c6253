"""Files cut into byte ranges, the splits that workers read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile


@dataclass(frozen=True)
class Split:
    """The records of ``path`` that begin in bytes ``start <= position < stop``.

    ``start`` is speculative unless ``exact``: the first record is then taken to begin after the next line end, which a
    quoted field that spans the place would belie. ``number`` counts the splits of a run and names its files.
    """

    number: int
    path: str
    size: int
    start: int
    stop: int
    exact: bool
    header: Header
    spool: str | None = None

    @property
    def source(self) -> str:
        """The file to read: ``path``, or where its text is if that is compressed. Only ``path`` is ever shown."""
        return self.spool or self.path

    def ending_at(self, stop: int) -> "Split":
        """The same split, of which the records from ``stop`` on are left to others."""
        return replace(self, stop=stop)

    def restarted_at(self, start: int) -> "Split":
        """The same split with its true start, for a second reading."""
        return replace(self, start=start, exact=True)


def cut_rest(split: Split, begin: int, stop: int) -> list[Split]:
    """What a split that began at ``begin`` and ended early at ``stop`` leaves, in pieces somewhat shorter than it was.

    They have its number until they get their own.
    """
    left = split.stop - stop
    pieces = -(-left * 5 // ((stop - begin) * 4))
    bounds = [stop + left * i // pieces for i in range(pieces + 1)]
    return [replace(split, start=bounds[i], stop=bounds[i + 1], exact=i == 0) for i in range(pieces)]


def cut(files: Sequence[InputFile], split_bytes: int) -> list[Split]:
    """Cut files into splits of at most ``split_bytes``, nearly equal within a file; small files stay whole."""
    splits: list[Split] = []
    for file in files:
        header = file.header
        if header is None or header.data_start >= file.size:
            continue
        length = file.size - header.data_start
        pieces = max(1, -(-length // split_bytes))
        bounds = [header.data_start + length * i // pieces for i in range(pieces + 1)]
        spool = file.expanded.spool if file.expanded else None
        for i in range(pieces):
            splits.append(Split(len(splits), file.path, file.size, bounds[i], bounds[i + 1], i == 0, header, spool))
    return splits
