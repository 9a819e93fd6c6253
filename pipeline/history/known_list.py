"""Known files, and the ids of files, in little memory: there may be very many."""

import marshal
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import overload

from pipeline.history.known_files import DAMAGED, Hint, KnownFile, KnownSplit, is_sound

_MOST_SHARED = 10_000
"""So many texts are compared with further ones, to have equal ones in memory once."""
_NUMBER = re.compile("[0-9]+")
_GAP = "\0"
"""What stands for a number in a text without its numbers."""


class FileIds(Set[int]):
    """Ids of files, in 8 bytes each."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._ids = array("q", sorted(ids))

    def __contains__(self, id_: object) -> bool:
        if not isinstance(id_, int):
            return False
        place = bisect_left(self._ids, id_)
        return place < len(self._ids) and self._ids[place] == id_

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class _Packed:
    """Files by number. What decides whether a file is used again lies in columns, so that it is found without unpacking
    the rest. What many files share is in ``_texts`` once."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.shown: list[str | None] = []  # None: as the path
        self.ids, self.read_at = array("q"), array("d")
        self._sizes, self._mtimes, self._ctimes, self._inodes = array("q"), array("q"), array("q"), array("Q")
        self._stable, self.finished = bytearray(), bytearray()
        self._fingerprint_of = array("I")
        self._fingerprints: list[str] = []
        self._rest: list[bytes] = []
        self._texts: list[str] = []
        self._places: dict[str, int] = {}

    def add(self, file: KnownFile) -> None:
        hint = file.hint
        self.paths.append(file.path)
        self.shown.append(None if file.shown == file.path else file.shown)
        self.ids.append(file.id)
        self.read_at.append(file.read_at)
        self._sizes.append(hint.size)
        self._mtimes.append(hint.mtime_ns)
        self._ctimes.append(hint.ctime_ns)
        self._inodes.append(hint.inode)
        self._stable.append(hint.stable)
        self.finished.append(file.finished)
        if file.fingerprint not in self._fingerprints:
            self._fingerprints.append(file.fingerprint)
        self._fingerprint_of.append(self._fingerprints.index(file.fingerprint))
        splits = [
            (split.number, split.start, split.stop, split.exact, self._pack(split.result or ""))
            for split in file.splits
        ]
        self._rest.append(marshal.dumps((file.file_hash, file.text_size, self._pack(file.header), splits)))

    def hint(self, number: int) -> Hint:
        sizes, times = self._sizes[number], (self._mtimes[number], self._ctimes[number])
        return Hint(sizes, *times, self._inodes[number], bool(self._stable[number]))

    def fingerprint(self, number: int) -> str:
        return self._fingerprints[self._fingerprint_of[number]]

    def file(self, number: int) -> KnownFile:
        file_hash, text_size, header, splits = marshal.loads(self._rest[number])
        path, shown = self.paths[number], self.shown[number]
        return KnownFile(
            id=self.ids[number],
            path=path,
            shown=path if shown is None else shown,
            hint=self.hint(number),
            fingerprint=self.fingerprint(number),
            file_hash=file_hash,
            text_size=text_size,
            header=self._unpack(header),
            read_at=self.read_at[number],
            splits=tuple(
                KnownSplit(number, start, stop, exact, self._unpack(result) or None)
                for number, start, stop, exact, result in splits
            ),
        )

    def _pack(self, text: str) -> tuple[int | str, str]:
        if _GAP in text:
            return text, ""
        words, numbers = _without_numbers(text)
        return self._share(words), numbers

    def _unpack(self, packed: tuple[int | str, str]) -> str:
        words, numbers = packed
        return _with_numbers(self._text(words), numbers) if numbers else self._text(words)

    def _share(self, text: str) -> int | str:
        """The place of a text among those that files share, or the text itself where these are too many."""
        place = self._places.get(text)
        if place is not None:
            return place
        if len(self._texts) == _MOST_SHARED:
            return text
        self._texts.append(text)
        return self._places.setdefault(text, len(self._texts) - 1)

    def _text(self, shared: int | str) -> str:
        return shared if isinstance(shared, str) else self._texts[shared]


def _without_numbers(text: str) -> tuple[str, str]:
    """(The text without its numbers, which headers and counts of many files have alike; the numbers)."""
    return _NUMBER.sub(_GAP, text), ",".join(_NUMBER.findall(text))


def _with_numbers(text: str, numbers: str) -> str:
    first, *pieces = text.split(_GAP)
    return first + "".join(chain.from_iterable(zip(numbers.split(","), pieces, strict=False)))


class KnownFiles(Sequence[KnownFile]):
    """Files of which each is made when it is asked for: a packed one takes a third of the memory.

    ``chosen`` ones of the same files share what is packed.
    """

    def __init__(self, files: Iterable[KnownFile] = ()) -> None:
        self._packed = _Packed()
        for file in files:
            self._packed.add(file)
        self._numbers: Sequence[int] = range(len(self._packed.paths))

    @staticmethod
    def of(files: Sequence[KnownFile]) -> "KnownFiles":
        """The files, packed if they are not yet."""
        return files if isinstance(files, KnownFiles) else KnownFiles(files)

    def chosen(self, places: Iterable[int]) -> "KnownFiles":
        """The files at these places, in this order."""
        found = KnownFiles()
        found._packed, found._numbers = self._packed, array("q", (self._numbers[place] for place in places))
        return found

    def with_ids(self, ids: Collection[int]) -> "KnownFiles":
        """Those files whose ids are among ``ids``."""
        return self.chosen(place for place, id_ in enumerate(self.ids) if id_ in ids)

    def where(self, wanted: Callable[[KnownFile], bool]) -> "KnownFiles":
        """Those files that are ``wanted``."""
        return self.chosen(place for place, file in enumerate(self) if wanted(file))

    @property
    def ids(self) -> Iterator[int]:
        """The ids of the files, in order."""
        return (self._packed.ids[number] for number in self._numbers)

    @property
    def paths(self) -> Iterator[str]:
        """The paths of the files, in order."""
        return (self._packed.paths[number] for number in self._numbers)

    @property
    def fingerprints(self) -> set[str]:
        """The fingerprints of the files."""
        return set(map(self._packed.fingerprint, self._numbers))

    @property
    def reading_times(self) -> Iterator[float]:
        """``read_at`` of the files, in order."""
        return (self._packed.read_at[number] for number in self._numbers)

    def path(self, place: int) -> str:
        """The path of a file."""
        return self._packed.paths[self._numbers[place]]

    def shown(self, place: int) -> str:
        """The listed name of a file."""
        return self._packed.shown[self._numbers[place]] or self.path(place)

    def hint(self, place: int) -> Hint:
        """The hint of a file."""
        return self._packed.hint(self._numbers[place])

    def finished(self, place: int) -> bool:
        """Whether the whole file was read."""
        return bool(self._packed.finished[self._numbers[place]])

    def usable(self, place: int, fingerprint: str) -> bool:
        """Whether all of the file was read with settings of this fingerprint, so that its splits can count."""
        return self.finished(place) and self.has_fingerprint(place, fingerprint)

    def has_fingerprint(self, place: int, fingerprint: str) -> bool:
        """Whether the file was read, as far as it was, with settings of this fingerprint."""
        return self._packed.fingerprint(self._numbers[place]) == fingerprint

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[KnownFile]:
        return map(self._packed.file, self._numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, place: int) -> KnownFile: ...

    @overload
    def __getitem__(self, place: slice) -> "KnownFiles": ...

    def __getitem__(self, place: int | slice) -> "KnownFile | KnownFiles":
        if isinstance(place, slice):
            return self.chosen(range(len(self))[place])
        return self._packed.file(self._numbers[place])


class FilesByPath(Mapping[str, KnownFile]):
    """Files by the paths at which they are found now; ``places``: path → place in ``files``."""

    def __init__(self, files: KnownFiles | None = None, places: Mapping[str, int] = MappingProxyType({})) -> None:
        self.files, self.places = files or KnownFiles(), places

    @staticmethod
    def of(files: Mapping[str, KnownFile]) -> "FilesByPath":
        """The files, packed."""
        return FilesByPath(KnownFiles(files.values()), {path: place for place, path in enumerate(files)})

    @property
    def ids(self) -> "FileIds":
        """The ids of the files."""
        return FileIds(id_ for _, id_ in self.ids_by_path())

    def ids_by_path(self) -> Iterator[tuple[str, int]]:
        """(Path, id of the file) of each path."""
        ids = array("q", self.files.ids)
        return ((path, ids[place]) for path, place in self.places.items())

    def shown(self, path: str) -> str:
        """The listed name of a file."""
        return self.files.shown(self.places[path])

    def __getitem__(self, path: str) -> KnownFile:
        return self.files[self.places[path]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def find_contradictions(files: KnownFiles) -> tuple[KnownFiles, list[KnownFile]]:
    """(All files, of which those that the manifest contradicts must be read again; these files alone).

    A contradicted file was noted as read, and a split has no result, or its results are no counts, do not balance or do
    not follow each other. Where splits have no result, the others can be used again; otherwise nothing of the file is.
    """
    contradicted: list[KnownFile] = []
    unsound: set[int] = set()
    for file in files:
        sound = is_sound(file)
        if not sound:
            unsound.add(file.id)
        if not sound or (file.file_hash and not file.finished):
            contradicted.append(file)
    if unsound:
        files = KnownFiles(_with_nothing(file) if file.id in unsound else file for file in files)
    return files, contradicted


def _with_nothing(file: KnownFile) -> KnownFile:
    """A file of which nothing can be used again."""
    splits = tuple(replace(split, result=None) for split in file.splits)
    return replace(file, fingerprint=DAMAGED, file_hash="", header="", splits=splits)
