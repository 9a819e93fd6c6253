"""The splits that count in a version, in little memory: there may be very many."""

from collections.abc import Iterator, Mapping

from pipeline.history.known_files import result_from_json
from pipeline.history.known_list import KnownFiles
from pipeline.preprocess.tasks import SplitResult


class CountedSplits(Mapping[int, SplitResult]):
    """The splits of finished files by number; each result is made when it is asked for."""

    def __init__(self, files: KnownFiles) -> None:
        self._files = files
        self._places: dict[int, int] = {}
        for place, file in enumerate(files):
            self._places.update((split.number, place) for split in file.splits)

    def __getitem__(self, number: int) -> SplitResult:
        file = self._files[self._places[number]]
        split = next(split for split in file.splits if split.number == number)
        assert split.result, "all splits of a finished file are finished"
        return result_from_json(file.split(split, file.path), split.result)

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
