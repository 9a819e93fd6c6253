"""What the system says, in the program's words: which errors are the machine's, and names of files as text."""

import errno
import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import machine
from pipeline.errors import ConfigError, EnvironmentFault, FileRefused, was_published
from pipeline.machine import cache_folder, display_name, existing_parent, os_errors_explained, sync


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, "home/.cache/logmill"),
        ({"XDG_CACHE_HOME": "{}/cache"}, "cache/logmill"),
        ({"XDG_CACHE_HOME": "cache"}, "home/.cache/logmill"),
        ({"XDG_CACHE_HOME": "./cache"}, "home/.cache/logmill"),
        ({"XDG_CACHE_HOME": "~/cache"}, "home/.cache/logmill"),
        ({"XDG_CACHE_HOME": ""}, "home/.cache/logmill"),
        ({"LOCALAPPDATA": "{}/local"}, "local/logmill"),
    ],
)
def test_the_cache_lies_where_the_platform_has_caches(
    environment: dict[str, str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("{}", str(tmp_path)))
    assert cache_folder() == tmp_path / folder


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of a user without HOME whom the system does not know, as in a container."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_user_without_a_home_has_a_cache_of_his_own(homeless: Path) -> None:
    for _ in range(2):
        assert cache_folder() == homeless / f"logmill-{os.getuid()}"
        assert cache_folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trap", ["link", "file", "open to all"])
def test_a_cache_that_others_can_write_is_refused(trap: str, homeless: Path) -> None:
    """Programs are loaded from there."""
    folder = homeless / f"logmill-{os.getuid()}"
    if trap == "link":
        (homeless / "elsewhere").mkdir()
        folder.symlink_to(homeless / "elsewhere")
    elif trap == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.touch()
    with pytest.raises(EnvironmentFault, match="XDG_CACHE_HOME"):
        cache_folder()


OF_THE_MACHINE = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EPERM"]


@pytest.mark.parametrize("name", OF_THE_MACHINE)
def test_a_full_disk_and_the_like_are_explained_with_the_file(name: str) -> None:
    code = getattr(errno, name)
    with pytest.raises(EnvironmentFault) as raised, os_errors_explained():
        raise OSError(code, os.strerror(code), "/disk/rows")
    message = str(raised.value)
    assert message.startswith(f"{os.strerror(code)} (/disk/rows). Nothing was published")
    assert "--intermediate" in message
    assert isinstance(raised.value.__cause__, OSError)


def test_an_error_without_a_file_is_explained_as_well() -> None:
    with pytest.raises(EnvironmentFault, match=r"^No space left on device\. Nothing"), os_errors_explained():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_that_polars_has_in_its_message_alone_is_explained() -> None:
    with pytest.raises(EnvironmentFault, match="No space left on device"), os_errors_explained():
        raise pl.exceptions.ComputeError("cannot write: No space left on device (os error 28)")


REMEDIES = {
    "EMFILE": "ulimit -n 65536",
    "ENFILE": "ulimit -n 65536",
    "EFBIG": r"may not grow so large \(/disk/rows\).*ulimit -f unlimited",
    "ENOMEM": "memory ran out.* --memory-limit",
    "EAGAIN": "no more processes or threads.*ulimit -u",
}


@pytest.mark.parametrize("name", REMEDIES)
def test_a_limit_has_a_remedy_of_its_own(name: str) -> None:
    with pytest.raises(EnvironmentFault, match=REMEDIES[name]), os_errors_explained():
        raise OSError(getattr(errno, name), "a limit", "/disk/rows")


def test_memory_that_python_lacks_is_memory() -> None:
    with (
        pytest.raises(EnvironmentFault, match=r"^memory ran out\. Nothing was published") as raised,
        os_errors_explained(),
    ):
        raise MemoryError("a value")
    assert "a value" not in str(raised.value)


def test_of_several_folders_a_full_disk_names_those_without_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    free = {str(tmp_path / "full"): 5_000, str(tmp_path / "almost"): 9_000, str(tmp_path / "empty"): 10**9}
    for name in free:
        os.mkdir(name)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(str(path), 10**9)))
    with pytest.raises(EnvironmentFault) as raised, os_errors_explained([*free]):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert f"({tmp_path}/full has 5 kB free; {tmp_path}/almost has 9 kB free)" in str(raised.value)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ConfigError("x"), KeyError("x")])
@pytest.mark.parametrize("done", [False, True])
def test_every_exception_knows_whether_the_run_had_published(fault: BaseException, done: bool) -> None:
    with pytest.raises(BaseException) as raised, os_errors_explained(published=lambda: done):  # noqa: PT011
        raise fault
    assert was_published(raised.value) == done
    if isinstance(fault, OSError):
        assert ("The result is published" if done else "Nothing was published") in str(raised.value)


@pytest.mark.parametrize(
    "fault",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        ValueError("os error 28"),
        pl.exceptions.ComputeError("division by zero (os error 2)"),
        KeyboardInterrupt(),
        ConfigError("a setting (os error 28)"),
        FileRefused("a file"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_other_faults_pass_as_they_are(fault: BaseException) -> None:
    with pytest.raises(type(fault)) as raised, os_errors_explained():
        raise fault
    assert raised.value is fault


def test_files_and_folders_are_synced_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    path = tmp_path.resolve() / "a"
    path.touch()
    before = len(os.listdir("/proc/self/fd"))
    for target in (path, path.parent):
        sync(target)
    assert synced == [str(path), str(path.parent)]
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.csv", "plain.csv"),
        ("Zürich €.csv".encode(), "Zürich €.csv"),
        (b"caf\xe9.csv", r"caf\xe9.csv"),
        (b"\xff\xc3", r"\xff\xc3"),
    ],
    ids=["ascii", "utf-8", "latin-1", "no text"],
)
def test_names_are_shown_as_text(name: bytes, shown: str) -> None:
    assert display_name(os.fsdecode(name)) == shown


@given(st.binary())
def test_every_name_is_valid_text_and_utf_8_stays(name: bytes) -> None:
    shown = display_name(os.fsdecode(name))
    shown.encode()
    try:
        assert shown == name.decode()
    except UnicodeDecodeError:
        assert r"\x" in shown


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert existing_parent(tmp_path) == tmp_path
    assert existing_parent(tmp_path / "file" / "a") == tmp_path
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert existing_parent(Path("no such folder/b")) == Path.cwd()


def test_what_is_not_at_hand_was_shipped_with_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROJECT", tmp_path)
    (tmp_path / machine.SHIPPED).mkdir()
    (tmp_path / machine.SHIPPED / "table.npz").write_text("shipped")
    here, missing = tmp_path / "table.npz", tmp_path / "other.npz"
    assert machine.at_hand(here) == tmp_path / machine.SHIPPED / "table.npz"
    here.write_text("here")
    assert machine.at_hand(str(here)) == here
    assert machine.at_hand(missing) == missing, "an error names the path that was asked for"
