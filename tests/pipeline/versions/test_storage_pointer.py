"""The largest number says which version is shown; only one can create it."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import EnvironmentFault, InputError
from pipeline.storage.objects import read_object, write_object
from pipeline.versions.storage_pointer import StoragePointer, version_names


def test_numbers_follow_each_other_and_the_last_one_counts(bucket: str) -> None:
    pointer = StoragePointer(f"{bucket}/out/")
    assert pointer.current() is None
    for after, version in enumerate(["one", "two", "one"]):
        pointer.show(version, after, fencing=7)
    assert [(entry.number, entry.version) for entry in pointer.entries()] == [(1, "one"), (2, "two"), (3, "one")]
    current = pointer.current()
    assert current
    assert (current.number, current.version) == (3, "one")
    assert version_names(pointer.entries()) == ["one", "two"]
    entry = json.loads(read_object(f"{bucket}/out/versions/0000000003.json"))
    assert {name: entry[name] for name in ("version", "number", "lock")} == {"version": "one", "number": 3, "lock": 7}
    assert json.loads(read_object(f"{bucket}/out/latest.json")) == entry


def test_of_those_that_saw_the_same_number_one_wins(bucket: str) -> None:
    pointer = StoragePointer(bucket)
    pointer.show("first", 0, 1)

    def show(number: int) -> bool:
        try:
            StoragePointer(bucket).show(f"version {number}", 1, number)
        except EnvironmentFault:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(show, range(8)))
    assert won.count(True) == 1
    with pytest.raises(EnvironmentFault, match="another run has published meanwhile; nothing was published"):
        pointer.show("late", 1, 1)
    current = pointer.current()
    assert current
    assert current.version == f"version {won.index(True)}"


def test_who_stood_still_until_its_number_was_removed_has_lost(bucket: str) -> None:
    pointer = StoragePointer(bucket)
    for after in range(3):
        pointer.show(f"version {after}", after, 1)
    pointer.remove(pointer.entries()[:2])
    with pytest.raises(EnvironmentFault, match="another run has published meanwhile"):
        pointer.show("late", 1, 1)
    assert [entry.version for entry in pointer.entries()] == ["version 2"]


def test_an_entry_that_is_none_is_told(bucket: str) -> None:
    write_object(f"{bucket}/versions/0000000001.json", b"{}")
    with pytest.raises(InputError, match=r"0000000001\.json is no entry of a publication"):
        StoragePointer(bucket).current()
