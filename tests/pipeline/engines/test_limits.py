"""Limits of the system that worker processes would meet: each is said in plain words before anything starts."""

import builtins
import errno
import multiprocessing
import os
import resource
from typing import Any

import pytest

from pipeline.engines import limits
from pipeline.engines.limits import check_limits, proc_problem, shared_memory_explained, shared_memory_problem
from pipeline.errors import EnvironmentFault

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[int, int]]:
    """The limits of this process by their kind, as the module sees and sets them."""
    found = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_AS: UNLIMITED}
    monkeypatch.setattr(resource, "getrlimit", found.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", found.__setitem__)
    return found


def test_this_machine_is_fit() -> None:
    check_limits(2)
    assert (proc_problem(), shared_memory_problem()) == (None, None)


@pytest.mark.parametrize(
    ("soft", "hard", "workers", "after"),
    [
        (1024, 4096, 2, 1024),
        (40, 40, 2, 40),
        (16, 4096, 2, 40),
        (16, 40, 2, 40),
        (16, resource.RLIM_INFINITY, 2, 40),
        (64, 4096, 16, 152),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2, resource.RLIM_INFINITY),
    ],
)
def test_the_limit_of_open_files_is_raised_where_it_may_be(
    soft: int, hard: int, workers: int, after: int, limited: dict[int, tuple[int, int]]
) -> None:
    limited[resource.RLIMIT_NOFILE] = (soft, hard)
    check_limits(workers)
    assert limited[resource.RLIMIT_NOFILE] == (after, hard)


@pytest.mark.parametrize(("hard", "workers"), [(16, 2), (39, 2), (40, 3)])
def test_too_few_open_files(hard: int, workers: int, limited: dict[int, tuple[int, int]]) -> None:
    limited[resource.RLIMIT_NOFILE] = (16, hard)
    with pytest.raises(EnvironmentFault, match=rf"only {hard} files may be open at once.*ulimit -n 65536"):
        check_limits(workers)


@pytest.mark.parametrize(("kilobytes", "fits"), [(500_000, False), (1_000_000, False), (1_500_000, True)])
def test_too_little_address_space_is_memory(kilobytes: int, fits: bool, limited: dict[int, tuple[int, int]]) -> None:
    limited[resource.RLIMIT_AS] = (kilobytes * 1024, resource.RLIM_INFINITY)
    if fits:
        check_limits(2)
        return
    with pytest.raises(EnvironmentFault, match=r"^the memory of a process is limited.*ulimit -v unlimited"):
        check_limits(2)


SHARED = {
    "ENOENT": "No such file or directory",
    "EROFS": "Read-only file system",
    "EACCES": "Permission denied",
    "ENOSPC": "No space left on device",
    "ENOSYS": "Function not implemented",
}


@pytest.mark.parametrize("name", SHARED)
def test_shared_memory_that_cannot_be_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(multiprocessing.get_context("fork"), "Lock", fail)
    with pytest.raises(EnvironmentFault, match=rf"^/dev/shm.* cannot be used \({SHARED[name]}\).*--shm-size"):
        check_limits(2)
    assert shared_memory_problem() == (
        f"/dev/shm, in which processes share memory and semaphores, cannot be used ({SHARED[name]})"
    )


@pytest.mark.parametrize("name", ["EMFILE", "ENOMEM"])
def test_other_faults_pass(name: str) -> None:
    with pytest.raises(OSError, match="x") as raised, shared_memory_explained():
        raise OSError(getattr(errno, name), "x")
    assert not isinstance(raised.value, EnvironmentFault)


def test_a_file_size_of_nothing_is_named() -> None:
    with pytest.raises(EnvironmentFault, match="ulimit -f unlimited"), shared_memory_explained():
        raise OSError(errno.EFBIG, "File too large")


@pytest.mark.skipif(not os.path.exists(limits.PROC), reason="not Linux")
def test_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = builtins.open

    def without_proc(path: Any, *arguments: Any, **words: Any) -> Any:
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return opened(path, *arguments, **words)

    monkeypatch.setattr(builtins, "open", without_proc)
    with pytest.raises(EnvironmentFault, match=r"^/proc, which tells of processes.*mount -t proc"):
        check_limits(2)
