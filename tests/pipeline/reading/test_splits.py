"""Finding inputs and cutting them: every byte of the records lies in exactly one split."""

import os
import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile, find_inputs, stamp, unchanged
from pipeline.reading.open_inputs import read_headers
from pipeline.reading.splits import cut

HEADER = Header(",", ("log_id",), {"log_id": 0}, 7, 2, 5.0)


@given(st.lists(st.integers(7, 5000), min_size=1, max_size=4), st.integers(1, 6000))
def test_splits_tile_the_records_of_every_file(sizes, split_bytes):
    files = [InputFile(f"f{number}", (size, 0, number), HEADER) for number, size in enumerate(sizes)]
    splits = cut(files, split_bytes)
    assert [split.number for split in splits] == list(range(len(splits)))
    for file in files:
        mine = [split for split in splits if split.path == file.path]
        if file.size == HEADER.data_start:
            assert mine == []
            continue
        assert (mine[0].start, mine[-1].stop) == (HEADER.data_start, file.size)
        assert all(one.stop == two.start for one, two in pairwise(mine))
        assert [split.exact for split in mine] == [True] + [False] * (len(mine) - 1)
        assert max(split.stop - split.start for split in mine) <= split_bytes
        assert pickle.loads(pickle.dumps(mine)) == mine


def test_empty_files_have_no_splits():
    assert cut([InputFile("a", (0, 0, 0), None)], 100) == []


def test_a_folder_gives_its_logs_and_names_the_rest(tmp_path):
    for name in (
        "b.csv",
        "a.TSV",
        "c.txt",
        "[1].csv",
        "-x.csv",
        "a b\nc.csv",
        "d.csv.gz",
        "e.TSV.Zst",
        "f.csv.bz2",
        "g.gz",
    ):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("/etc/hosts")
    (tmp_path / "inside.csv").symlink_to("b.csv")
    (tmp_path / "nowhere.csv").symlink_to("gone.csv")
    files, skipped = find_inputs(str(tmp_path))
    names = [os.path.basename(path) for path in files]
    assert names == [
        "-x.csv",
        "[1].csv",
        "a b\nc.csv",
        "a.TSV",
        "b.csv",
        "d.csv.gz",
        "e.TSV.Zst",
        "inside.csv",
        "link.csv",
    ]
    assert {os.path.basename(path) for path in skipped} == {"c.txt", "f.csv.bz2", "folder.csv", "g.gz", "nowhere.csv"}


def test_an_existing_path_is_literal_and_anything_else_a_glob(tmp_path):
    (tmp_path / "[1].csv").write_bytes(b"")
    (tmp_path / "1.csv").write_bytes(b"")
    assert find_inputs(str(tmp_path / "[1].csv")) == ([str(tmp_path / "[1].csv")], [])
    assert find_inputs(str(tmp_path / "?.csv"))[0] == [str(tmp_path / "1.csv")]
    for missing in ("none", "none*.csv"):
        with pytest.raises(InputError, match="none"):
            find_inputs(str(tmp_path / missing))


def test_a_file_that_vanished_is_refused_by_name_and_a_changed_one_is_noticed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"log_id\n1\n")
    files, refused = read_headers([str(path), str(tmp_path / "gone.csv")], {"log_id": ("log_id",)}, 1024)
    assert list(refused) == [str(tmp_path / "gone.csv")]
    assert files[0].stamp == stamp(str(path))
    assert unchanged(files[0])
    path.write_bytes(b"log_id\n1\n2\n")
    assert not unchanged(files[0])
    path.unlink()
    assert not unchanged(files[0])


def test_names_that_are_not_utf8_are_shown_as_text():
    assert display_name(os.fsdecode(b"a\xff.csv")) == "a\\xff.csv"
