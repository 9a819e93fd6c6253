"""One run at a time holds the lock of an output on object storage."""

import time

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.storage.objects import list_objects
from pipeline.versions.storage_lease import StorageLease


def test_the_holder_is_named_and_the_next_number_is_larger(bucket: str) -> None:
    with StorageLease(bucket, "first") as first:
        told = pytest.raises(EnvironmentFault, match=r"another run holds s3://.*: process \d+ on .*, last seen 20")
        with told, StorageLease(bucket, "second"):
            pass
        first.confirm()
    with StorageLease(bucket, "second") as second:
        assert second.number == first.number + 1
    assert len(list(list_objects(f"{bucket}/locks/"))) == 1


@pytest.mark.slow
def test_a_lock_that_is_renewed_is_held_beyond_its_term(bucket: str) -> None:
    with StorageLease(bucket, "first", term=3.0) as first:
        begin = time.monotonic()
        while time.monotonic() < begin + 4.5:  # the storage counts in seconds
            with pytest.raises(EnvironmentFault, match="another run holds"), StorageLease(bucket, "second", term=3.0):
                pass
        first.confirm()


def test_a_lock_that_nobody_renews_is_taken_over(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageLease, "_renew_always", lambda _: None)  # a process that stands still
    with StorageLease(bucket, "stopped") as stopped, StorageLease(bucket, "next", term=-1.0) as following:
        with pytest.raises(EnvironmentFault, match="this run has lost the lock"):
            stopped.confirm()
        following.confirm()
    with StorageLease(bucket, "third") as third:
        assert third.number == 3
