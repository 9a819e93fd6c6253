"""Input files in little memory, because there may be very many."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import overload

from pipeline.reading.archives import Expanded
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile

_MANY = 1_000
"""More files than these are packed."""


class PackedFiles(Sequence[InputFile]):
    """Files of which each is made when it is asked for. A packed file takes 52 bytes beside its path, which it shares,
    where the objects take 190, and with a header of its own a kilobyte."""

    def __init__(self, files: Iterable[InputFile] = ()) -> None:
        self._paths: list[str] = []
        self._sizes, self._times, self._inodes = array("q"), array("q"), array("Q")
        self._starts, self._widths = array("q"), array("d")
        self._header_of = array("I")
        self._headers: list[Header | None] = []
        self._known: dict[Header | None, int] = {}
        self._expanded: dict[int, Expanded] = {}
        for file in files:
            self.append(file)

    def append(self, file: InputFile) -> None:
        """Add a file."""
        header = file.header
        common = replace(header, data_start=0, row_width=0.0) if header else None
        number = self._known.setdefault(common, len(self._headers))
        if number == len(self._headers):
            self._headers.append(common)
        if file.expanded:
            self._expanded[len(self)] = file.expanded
        self._paths.append(file.path)
        for column, value in zip((self._sizes, self._times, self._inodes), file.stamp, strict=True):
            column.append(value)
        self._header_of.append(number)
        self._starts.append(header.data_start if header else 0)
        self._widths.append(header.row_width if header else 0.0)

    def path(self, index: int) -> str:
        """The path of a file."""
        return self._paths[index]

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[InputFile]:
        return map(self._file, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> InputFile: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[InputFile]: ...

    def __getitem__(self, index: int | slice) -> InputFile | Sequence[InputFile]:
        if isinstance(index, slice):
            return tuple(map(self._file, range(len(self))[index]))
        return self._file(range(len(self))[index])

    def _file(self, index: int) -> InputFile:
        stamp = self._sizes[index], self._times[index], self._inodes[index]
        common = self._headers[self._header_of[index]]
        header = common and replace(common, data_start=self._starts[index], row_width=self._widths[index])
        return InputFile(self._paths[index], stamp, header, self._expanded.get(index))


def pack_files(files: Iterable[InputFile]) -> Sequence[InputFile]:
    """The files as they come; where they are many, packed."""
    iterator = iter(files)
    first = tuple(islice(iterator, _MANY))
    more = next(iterator, None)
    return first if more is None else PackedFiles(chain(first, (more,), iterator))
