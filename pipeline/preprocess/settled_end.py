"""Finds where the settled records of a log end that is being appended, from what Phase 1 made of its splits."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.file_access import open_bytes
from pipeline.reading.settled import find_settled_end


def settled_end(
    source: str, results: Sequence[SplitResult], size: int, lines_of: Callable[[int], Path], max_record: int
) -> int:
    """The byte behind the last settled record of the first ``size`` bytes of a text (``reading.settled``).

    ``source``: the file with the text. ``results``: of all its splits, in order, at least one. ``lines_of``: the file
    with the chunk starts of the split with this number. Raises OSError where a file cannot be read.
    """
    import numpy as np  # a run that finds nothing new does not come here

    begin, header = results[0].start, results[0].split.header
    for number in reversed(range(len(results))):
        result = results[number]
        starts = np.load(lines_of(result.split.number))[:, 0] + result.start
        far = starts[starts < size - max_record - 2]  # what begins there cannot reach the end
        if len(far):
            begin, header = int(far[-1]), result.header_at(int(far[-1]) - result.start)
            break
    for result in results[number:]:
        for change in result.changes:
            if begin < result.start + change.offset <= size:  # what stands behind a header is read by it
                begin, header = result.start + change.offset, change.header
    with open_bytes(source) as stream:
        return find_settled_end(stream, begin, size, header, max_record)
