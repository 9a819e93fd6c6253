"""Many files go to a storage and come back; one that cannot come leaves nothing under its name."""

import os
from pathlib import Path

import pytest

from pipeline.storage.objects import delete_objects, list_objects
from pipeline.storage.transfer import download_files, upload_files


def test_files_come_back_as_they_went(bucket: str, tmp_path: Path) -> None:
    files = {f"{bucket}/out/{n}/part": tmp_path / f"{n}" for n in range(40)}
    for n, path in enumerate(files.values()):
        path.write_bytes(os.urandom(n * 1000))
    upload_files(files)
    assert sorted(list_objects(f"{bucket}/out/")) == sorted(files)
    copies = {url: tmp_path / "back" / path.name for url, path in files.items()}
    download_files(copies)
    for url, path in files.items():
        assert copies[url].read_bytes() == path.read_bytes()


def test_a_missing_object_is_told_and_leaves_no_file(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    upload_files({f"{bucket}/a": tmp_path / "a", f"{bucket}/b": tmp_path / "a"})
    delete_objects([f"{bucket}/b"])
    with pytest.raises(FileNotFoundError):
        download_files({f"{bucket}/{name}": tmp_path / "back" / name for name in "ab"})
    assert {path.name for path in (tmp_path / "back").iterdir()} <= {"a"}


def test_a_missing_file_is_told(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        upload_files({f"{bucket}/a": tmp_path / "nowhere"})
