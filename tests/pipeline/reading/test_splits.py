"""Files are cut into splits: every byte of the records lies in exactly one of them."""

import pickle
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.archives import Expanded
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split, cut, cut_rest

HEADER = Header(",", ("log_id",), {"log_id": 0}, 7, 2, 5.0)


@given(st.lists(st.integers(7, 5000), min_size=1, max_size=4), st.integers(1, 6000))
def test_splits_tile_the_records_of_every_file(sizes: list[int], split_bytes: int) -> None:
    files = [InputFile(f"f{number}", (size, 0, number), HEADER) for number, size in enumerate(sizes)]
    splits = cut(files, split_bytes)
    assert [split.number for split in splits] == list(range(len(splits)))
    for file in files:
        of_file = [split for split in splits if split.path == file.path]
        if file.size == HEADER.data_start:
            assert of_file == []
            continue
        assert (of_file[0].start, of_file[-1].stop) == (HEADER.data_start, file.size)
        assert all(one.stop == two.start for one, two in pairwise(of_file))
        assert [split.exact for split in of_file] == [True] + [False] * (len(of_file) - 1)
        lengths = [split.stop - split.start for split in of_file]
        assert max(lengths) <= split_bytes
        assert max(lengths) - min(lengths) <= 1
        assert pickle.loads(pickle.dumps(of_file)) == of_file


def test_empty_files_have_no_splits() -> None:
    assert cut([InputFile("a", (0, 0, 0), None)], 100) == []


def test_an_archive_is_cut_by_its_text() -> None:
    file = InputFile("a.csv.gz", (20, 0, 0), HEADER, Expanded("spool/file-000000", 107, (20, 0, 0), ""))
    first, second = cut([file, InputFile("b.csv", (8, 0, 0), HEADER)], 1000)
    assert (first.path, first.source, first.size) == ("a.csv.gz", "spool/file-000000", 107)
    assert (first.start, first.stop) == (7, 107)
    assert second.source == second.path == "b.csv"


@given(st.integers(0, 1000), st.integers(1, 500), st.integers(1, 5000))
def test_the_rest_of_a_split_is_cut_into_shorter_ones(begin: int, covered: int, rest: int) -> None:
    stop = begin + covered
    split = Split(3, "a.csv", 10_000, begin, stop + rest, True, HEADER)
    pieces = cut_rest(split, begin, stop)
    assert (pieces[0].start, pieces[-1].stop) == (stop, stop + rest)
    assert all(one.stop == two.start for one, two in pairwise(pieces))
    assert max(piece.stop - piece.start for piece in pieces) <= -(-covered * 4 // 5)
    assert [piece.exact for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert {(piece.number, piece.path, piece.size) for piece in pieces} == {(3, "a.csv", 10_000)}


def test_a_split_that_is_read_again_begins_exactly() -> None:
    split = Split(3, "a.csv", 900, 100, 200, False, HEADER)
    assert split.restarted_at(120, HEADER) == Split(3, "a.csv", 900, 120, 200, True, HEADER)
    assert split.ending_at(150) == Split(3, "a.csv", 900, 100, 150, False, HEADER)
