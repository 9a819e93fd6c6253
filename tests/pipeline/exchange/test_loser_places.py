"""Files of places, against Python's sets."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.exchange import loser_places
from pipeline.exchange.loser_places import (
    count_between,
    count_places,
    place_files,
    places_among,
    read_places,
    update_places,
    without_places,
    write_places,
)
from pipeline.exchange.workspace import Workspace

PLACES = st.sets(st.integers(0, 2**50) | st.integers(0, 40), max_size=30)
FILES = st.lists(PLACES, max_size=4)


def save(folder: Path, name: str, files: list[set[int]]) -> list[Path]:
    """Files of places; an empty one is no file."""
    paths = [folder / f"{name}-{number:06d}.npy" for number in range(len(files))]
    for path, places in zip(paths, files, strict=True):
        assert write_places(path, np.array(list(places), np.uint64)) == len(places)
    return [path for path in paths if path.exists()]


@given(FILES, st.lists(st.integers(0, 2**50) | st.integers(0, 40), min_size=2, max_size=5), PLACES)
def test_places_are_found_in_all_files(files: list[set[int]], bounds: list[int], wanted: set[int]) -> None:
    bounds.sort()
    with TemporaryDirectory() as folder:
        paths = save(Path(folder), "bucket", files)
        everything = sorted(place for places in files for place in places)
        begin, stop = bounds[0], bounds[-1]
        assert read_places(paths, begin, stop).tolist() == [place for place in everything if begin <= place < stop]
        assert count_places(paths) == len(everything)
        for path, places in zip(paths, filter(None, files), strict=True):
            counts = [sum(low <= place < high for place in places) for low, high in pairwise(bounds)]
            assert count_between(path, bounds).tolist() == counts
        ordered = np.array(sorted(wanted), np.uint64)
        for at_once in (32, 2**25):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loser_places, "_BYTES_AT_ONCE", at_once)
                assert ordered[places_among(paths, ordered)].tolist() == sorted(wanted & set(everything))
        assert without_places(ordered, np.unique(np.array(everything, np.uint64))).tolist() == sorted(
            wanted - set(everything)
        )


@given(st.sets(st.integers(0, 2**40), max_size=60), st.data())
def test_a_further_version_has_what_stayed_and_what_came(places: set[int], data: st.DataObject) -> None:
    before = [{place for place in places if place % 4 == number} for number in range(4)]
    went = {place for place in places if data.draw(st.booleans())} if data.draw(st.booleans()) else set()
    came = {place + 2**41 for place in data.draw(PLACES)}
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loser_places, "_MOST_SMALL", data.draw(st.sampled_from([1, 64])))
        folder, workspace = Path(name), Workspace(f"{name}/new")
        workspace.create()
        files = save(folder, "added", before)
        gone = save(folder, "went", [{place for place in went if place % 2 == half} for half in (0, 1)])
        update_places(files, save(folder, "came", [came]), gone, workspace.path("conflicts", ""))
        found = place_files(workspace)
        assert sorted(place for path in found for place in np.load(path).tolist()) == sorted((places - went) | came)
        if not went and loser_places._MOST_SMALL == 64:
            assert all((workspace.path("conflicts", path.name)).samefile(path) for path in files)


def test_places_of_a_frame_are_sorted(tmp_path: Path) -> None:
    assert write_places(tmp_path / "a.npy", pl.Series([3, 2**40, 1])) == 3
    assert np.load(tmp_path / "a.npy").tolist() == [1, 3, 2**40]
