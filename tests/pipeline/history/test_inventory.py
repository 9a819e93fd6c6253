"""Which files are read, used again or missing: by hint where it proves something, else by the bytes."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.history.inventory import Inventory, identity, take_inventory
from pipeline.history.known_files import Hint, KnownFile, KnownSplit
from pipeline.history.known_list import KnownFiles
from tests.pipeline.history.samples import counts, known_file


def hint(mtime: int = 1, size: int = 100) -> Hint:
    return Hint(size, mtime, mtime, 7, True)


def hashes(**by_name: str) -> Callable[[str], str]:
    """Gives files, by their names without ending, these hashes; any other file must not be hashed."""
    return lambda path: by_name[Path(path).stem]


def compare(
    hints: dict[str, Hint],
    known: Sequence[KnownFile],
    hash_of: Callable[[str], str],
    counted: Sequence[KnownFile] | None = None,
) -> Inventory:
    return take_inventory(list(hints), hints, known, known if counted is None else counted, "settings", hash_of)


@pytest.fixture
def logs(tmp_path: Path) -> tuple[str, str]:
    """Paths of two files that do not exist, in a folder that does."""
    return str(tmp_path / "a.csv"), str(tmp_path / "b.csv")


def test_an_unchanged_file_is_used_again_and_not_hashed(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    found = compare({logs[0]: hint()}, [file], hashes())
    assert found.reused == {logs[0]: file}
    assert (found.to_read, found.moved, found.replaced, found.missing) == ([], {}, {}, [])


@pytest.mark.parametrize("stable", [True, False])
def test_the_same_bytes_under_another_time_are_used_again(stable: bool, logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0], mtime=1 if not stable else 2, stable=stable)
    found = compare({logs[0]: hint(1)}, [file], hashes(a="hash"))
    assert found.reused == {logs[0]: file}
    assert found.moved == {logs[0]: file}
    assert found.renamed == ()


def test_other_bytes_replace_the_file_that_counts(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    found = compare({logs[0]: hint(2)}, [file], hashes(a="other"))
    assert found.fresh == (logs[0],)
    assert found.replaced == {logs[0]: file}
    assert (found.outdated, found.missing) == ((), ())


def test_a_file_of_another_size_is_not_hashed(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    found = compare({logs[0]: hint(2, size=101)}, [file], hashes())
    assert found.fresh == (logs[0],)


def test_a_renamed_file_is_used_again(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    found = compare({logs[1]: hint(1)}, [file], hashes(b="hash"))
    assert found.reused == {logs[1]: file}
    assert found.renamed == ((logs[0], logs[1]),)
    assert found.missing == ()


def test_two_files_that_exchange_their_names_are_used_again(logs: tuple[str, str]) -> None:
    a, b = known_file(1, logs[0], file_hash="one"), known_file(2, logs[1], file_hash="two")
    found = compare({logs[0]: hint(9), logs[1]: hint(9)}, [a, b], hashes(a="two", b="one"))
    assert found.reused == {logs[0]: b, logs[1]: a}
    assert set(found.renamed) == {(logs[1], logs[0]), (logs[0], logs[1])}
    assert found.replaced == {}


def test_a_copy_of_a_file_that_is_still_there_is_read(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    found = compare({logs[0]: hint(), logs[1]: hint(2)}, [file], hashes(b="hash"))
    assert found.reused == {logs[0]: file}
    assert found.fresh == (logs[1],)


def test_a_copy_of_a_file_outside_of_the_input_is_read(logs: tuple[str, str]) -> None:
    Path(logs[0]).touch()
    file = known_file(1, logs[0])
    found = compare({logs[1]: hint()}, [file], hashes(b="hash"))
    assert (found.fresh, found.elsewhere, found.missing) == ((logs[1],), (file,), ())


def test_two_copies_of_one_missing_file_do_not_both_take_its_place(logs: tuple[str, str], tmp_path: Path) -> None:
    file = known_file(1, tmp_path / "old.csv")
    found = compare({logs[0]: hint(8), logs[1]: hint(9)}, [file], hashes(a="hash", b="hash"))
    assert (found.reused, found.fresh) == ({logs[0]: file}, (logs[1],))


def test_what_was_read_and_never_counted_is_used_under_its_own_name_alone(logs: tuple[str, str]) -> None:
    file = known_file(1, logs[0])
    assert compare({logs[0]: hint(2)}, [file], hashes(a="hash"), counted=[]).reused == {logs[0]: file}
    assert compare({logs[1]: hint(2)}, [file], hashes(b="hash"), counted=[]).fresh == (logs[1],)


def test_files_that_count_and_are_not_found_are_missing_or_elsewhere(logs: tuple[str, str]) -> None:
    Path(logs[1]).touch()
    gone, outside = known_file(1, logs[0]), known_file(2, logs[1])
    found = compare({}, [gone, outside, known_file(3, logs[0] + "never counted")], hashes(), counted=[gone, outside])
    assert (found.missing, found.elsewhere) == ((gone,), (outside,))


def test_files_of_other_settings_are_read_again(logs: tuple[str, str]) -> None:
    same, changed = (known_file(n, path, fingerprint="old") for n, path in enumerate(logs))
    found = compare({logs[0]: hint(), logs[1]: hint(size=101)}, [same, changed], hashes())
    assert found.fresh == logs
    assert found.replaced == {logs[0]: same, logs[1]: changed}
    assert found.outdated == (logs[0],), "the other one has changed besides"


def test_an_interrupted_reading_goes_on_only_where_the_file_is_surely_the_same(logs: tuple[str, str]) -> None:
    begun = known_file(1, logs[0], file_hash="")
    assert compare({logs[0]: hint()}, [begun], hashes(), counted=[]).resumed == {logs[0]: begun}
    changed = compare({logs[0]: hint(2)}, [begun], hashes(), counted=[])
    assert (changed.resumed, changed.fresh) == ({}, (logs[0],))


def test_of_several_entries_for_a_path_the_one_that_counts_goes_first(logs: tuple[str, str]) -> None:
    entries = [known_file(number, logs[0]) for number in (1, 2, 3)]
    assert compare({logs[0]: hint()}, entries, hashes(), counted=entries[1:2]).reused == {logs[0]: entries[1]}
    assert compare({logs[0]: hint()}, entries, hashes(), counted=[]).reused == {logs[0]: entries[2]}


def test_a_file_that_cannot_be_hashed_or_has_no_hint_is_left_to_phase_1(logs: tuple[str, str]) -> None:
    def fail(_: str) -> str:
        raise PermissionError

    file = known_file(1, logs[0])
    assert compare({logs[0]: hint(2)}, [file], fail).fresh == (logs[0],)
    assert take_inventory([logs[0]], {}, [file], [file], "settings", hashes()).fresh == (logs[0],)


def test_new_splits_are_as_fine_as_the_finest_that_is_used_again(logs: tuple[str, str]) -> None:
    splits = tuple(KnownSplit(n, 0, 9, True, counts(buckets=buckets)) for n, buckets in enumerate((4, 16, 8)))
    file = known_file(1, logs[0], splits=splits)
    assert compare({logs[0]: hint()}, [file], hashes()).finest_buckets == 16
    assert compare({}, [file], hashes()).finest_buckets == 0


def test_a_file_has_one_identity_however_its_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    (real / "other.csv").symlink_to(real / "a.csv")
    monkeypatch.chdir(tmp_path)
    assert {identity(path) for path in ("real/a.csv", "link/a.csv", "./link/../real/a.csv", str(real / "a.csv"))} == {
        str(real / "a.csv")
    }
    assert identity("link/other.csv") == str(real / "other.csv"), "a link to a file is an input of its own"


NAMES = [f"/nowhere/{letter}.csv" for letter in "abcd"]
WRITES = st.integers(1, 6)
"""A write is named by its time; the bytes that it makes are its time modulo 3."""


@given(
    st.dictionaries(st.sampled_from(NAMES), WRITES),
    st.lists(
        st.tuples(st.sampled_from(NAMES), WRITES, st.booleans(), st.booleans(), st.sampled_from(["settings", "old"]))
    ),
)
def test_every_path_and_every_counted_file_has_one_fate(
    present: dict[str, int], entries: list[tuple[str, int, bool, bool, str]]
) -> None:
    """``entries``: of the manifest: name, write, whether it is finished, whether it counts, settings."""
    known, counted = [], []
    for number, (name, write, finished, counts_now, fingerprint) in enumerate(entries):
        file = known_file(
            number, name, mtime=write, file_hash=str(write % 3) if finished else "", fingerprint=fingerprint
        )
        known.append(file)
        if finished and counts_now and name not in {other.path for other in counted}:
            counted.append(file)
    hints = {name: hint(write) for name, write in present.items()}
    found = take_inventory(list(present), hints, known, counted, "settings", lambda path: str(present[path] % 3))
    fates = [*found.reused, *found.resumed, *found.fresh]
    assert sorted(fates) == sorted(present)
    used = [*found.reused.values(), *found.resumed.values()]
    assert len({file.id for file in used}) == len(used), "no entry is used for two paths"
    assert {file.fingerprint for file in used} <= {"settings"}
    for path, file in found.reused.items():
        assert file.file_hash == str(present[path] % 3), "what is used again has the bytes that are there"
    for file in known:
        usable = file.finished and file.fingerprint == "settings"
        if usable and file.path in found.fresh and file.file_hash == str(present[file.path] % 3):
            assert file in used, "a path is read only where no entry of its name and bytes is free"
    fates_of_files = [*used, *found.replaced.values(), *found.missing, *found.elsewhere]
    assert all(sum(file.id == other.id for other in fates_of_files) == 1 for file in counted)
    assert set(found.replaced) <= set(present)
    assert all(file.path not in present for file in found.missing)
    assert not any(os.path.lexists(path) for path in NAMES)


def test_very_many_files_of_one_size_are_recognized_by_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restored backup: all times are new, and half of the names. Each file is hashed once, and looked at a
    few times, whatever the number of files of its size."""
    count, looks = 400, 0
    known = [known_file(n + 1, tmp_path / f"{n}.csv", mtime=2, file_hash=f"h{n}") for n in range(count)]
    names = [tmp_path / f"{'' if n % 2 else 'new'}{n}.csv" for n in range(count)]
    hashed: list[str] = []
    unpack = KnownFiles.__getitem__

    def count_looks(files: KnownFiles, place: int) -> object:
        nonlocal looks
        looks += 1
        return unpack(files, place)

    def hash_of(path: str) -> str:
        hashed.append(path)
        return "h" + Path(path).stem.removeprefix("new")

    monkeypatch.setattr(KnownFiles, "__getitem__", count_looks)
    found = compare({str(name): hint(9) for name in names}, known, hash_of)
    assert looks < 10 * count
    assert hashed == list(map(str, names))
    assert {Path(path).name: file.id for path, file in found.reused.items()} == {
        name.name: n + 1 for n, name in enumerate(names)
    }
    assert len(found.renamed) == count // 2


def test_an_appended_file_is_found_by_its_name_first_then_by_its_longest_beginning(tmp_path: Path) -> None:
    sizes = {"a": 40, "b": 60, "c": 60, "d": 90}
    known = [
        replace(
            known_file(
                n, tmp_path / f"{name}.csv", file_hash=f"{name}{size}", splits=(KnownSplit(n, 0, size, True, counts()),)
            ),
            hint=hint(size=size),
        )
        for n, (name, size) in enumerate(sizes.items(), 1)
    ]
    asked: dict[str, list[int]] = {}

    def beginnings_of(path: str, of_sizes: Sequence[int]) -> list[str]:
        asked[Path(path).stem] = list(of_sizes)
        return {"new": ["b60", "a40"], "c": ["c60", "a40"]}[Path(path).stem]

    paths = {str(tmp_path / name): hint(size=80) for name in ("c.csv", "new.csv")}
    found = take_inventory(list(paths), paths, known, known, "settings", hashes(), beginnings_of)
    assert asked == {"c": [60, 40], "new": [60, 40]}
    assert {Path(path).stem: file.id for path, file in found.appended.items()} == {"c": 3, "new": 2}
