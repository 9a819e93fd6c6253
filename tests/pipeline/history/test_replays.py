"""Replayed files: the same bytes count once, only where a version is published, and only over their own input."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.history.replays import Replays

CSV = b"log_id,user_id\n1,u\n"


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    folder = tmp_path / "out.versions"
    folder.mkdir()
    return folder


def write(path: Path, data: bytes = CSV) -> str:
    path.write_bytes(data)
    return str(path)


def names(replays: Replays) -> list[str]:
    return [os.path.basename(path) for path in replays.paths]


def test_a_file_is_kept_under_the_hash_of_its_bytes_for_its_owner_alone(versions: Path, tmp_path: Path) -> None:
    with Replays(versions, str(tmp_path / "logs")) as replays:
        replays.add([write(tmp_path / "mended.csv")])
        replays.keep()
    assert names(replays) == [hashlib.sha256(CSV).hexdigest()[:32] + ".csv"]
    (path,) = map(Path, replays.paths)
    assert path.read_bytes() == CSV
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, replays.folder)] == [0o700, 0o700]
    assert sorted(entry.name for entry in path.parent.iterdir()) == sorted([path.name, "input.txt"])
    assert path.is_relative_to(replays.folder)


def test_the_same_bytes_count_once(versions: Path, tmp_path: Path) -> None:
    logs = str(tmp_path / "logs")
    first, second = write(tmp_path / "one.csv"), write(tmp_path / "two.csv")
    with Replays(versions, logs) as replays:
        replays.add([first])
        replays.keep()
    with Replays(versions, logs) as replays:
        replays.add([second, write(tmp_path / "three.csv", CSV + b"2,v\n")])
        assert len(replays.paths) == 2
        assert replays.notes == [f"{second} was replayed before: nothing is counted twice"]
    assert names(replays) == [hashlib.sha256(CSV).hexdigest()[:32] + ".csv"], "what was there before stays"


def test_what_no_version_counts_goes(versions: Path, tmp_path: Path) -> None:
    def fail_after_adding() -> None:
        with Replays(versions, str(tmp_path / "logs")) as replays:
            replays.add([write(tmp_path / "mended.csv")])
            assert len(replays.paths) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_adding()
    assert list(versions.glob("**/*.csv")) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PAR1" + bytes(100), "is Parquet"),
        (b"\x1f\x8b" + bytes(100), "is compressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "is compressed"),
    ],
    ids=["parquet", "gzip", "zstd"],
)
def test_what_is_no_text_is_refused_and_leaves_nothing(
    data: bytes, reason: str, versions: Path, tmp_path: Path
) -> None:
    name = write(tmp_path / "mended.csv", data)
    with Replays(versions, str(tmp_path / "logs")) as replays, pytest.raises(InputError, match=f"mended.csv.*{reason}"):
        replays.add([name])
    assert {path.name for path in versions.glob("**/*") if path.is_file()} == {"input.txt"}


def test_a_file_that_cannot_be_read_is_named(versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Replays(versions, str(tmp_path / "logs")) as replays:
        with pytest.raises(InputError, match=r"there is no file '.*none\.csv'"):
            replays.add([str(tmp_path / "none.csv")])
        name = write(tmp_path / "secret.csv")

        def refuse(path: str, *_: object) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr("pipeline.history.replays._copy", refuse)
        with pytest.raises(InputError, match=r"cannot read '.*secret.csv': Permission denied"):
            replays.add([name])


def test_a_fault_of_the_disk_is_none_of_the_file(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: str, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("pipeline.history.replays._copy", fill)
    with Replays(versions, "logs") as replays, pytest.raises(OSError, match="No space left"):
        replays.add([write(tmp_path / "mended.csv")])


def test_a_refused_file_stops_the_run_without_telling_its_records(versions: Path, tmp_path: Path) -> None:
    with Replays(versions, str(tmp_path / "logs")) as replays:
        replays.add([write(tmp_path / "mended.csv")])
        (path,) = replays.paths
        replays.refuse_faulty({"another.csv": "it is torn."})
        with pytest.raises(InputError, match=r"refused: it has no header\. Nothing was published") as raised:
            replays.refuse_faulty({path: "it has no header. Line 1 has: secret, values"})
        assert "secret" not in str(raised.value)
        replays.keep()
        replays.refuse_faulty({path: "it has no header. Line 1 has: secret, values"})


def test_the_summary_says_what_counts_and_what_does_not(versions: Path, tmp_path: Path) -> None:
    logs, more = tmp_path / "logs", tmp_path / "more"
    for number, source in enumerate((logs, logs, more)):
        with Replays(versions, str(source)) as replays:
            replays.add([write(tmp_path / "mended.csv", CSV + b"%d,w\n" % number)])
            replays.keep()
    mine, other = Replays(versions, str(logs)), Replays(versions, str(more))
    assert len(mine.paths) == 2
    assert mine.describe(counted=()) == (
        f"2 replayed files count besides the input, in {Path(mine.paths[0]).parent}",
        f"replayed files of other inputs do not count here: 1 ({more})",
    )
    assert mine.describe(counted=other.paths)[1:] == (), "with --add those of another input may count"
    assert other.describe(counted=mine.paths) == (
        f"1 replayed file counts besides the input, in {Path(other.paths[0]).parent}",
    )
    assert Replays(tmp_path / "nowhere", str(logs)).describe(counted=()) == ()


def test_an_input_is_the_same_however_it_is_named(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "link").symlink_to("logs")
    with Replays(versions, str(tmp_path / "logs")) as replays:
        replays.add([write(tmp_path / "mended.csv")])
        replays.keep()
    monkeypatch.chdir(tmp_path)
    assert Replays(versions, "logs").paths == Replays(versions, "link").paths == replays.paths
    assert Replays(versions, "other").paths == []
