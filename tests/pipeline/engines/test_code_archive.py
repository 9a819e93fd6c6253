"""The archive of the program for executors."""

import tarfile
from pathlib import Path

from pipeline.engines.code_archive import pack_code


def make_project(folder: Path) -> Path:
    (folder / "pipeline" / "__pycache__").mkdir(parents=True)
    (folder / "utils").mkdir()
    (folder / "config.py").write_text("A = 1\n")
    (folder / "pipeline" / "table.csv").write_text("a,b\n")
    (folder / "pipeline" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / "secrets.txt").write_text("not theirs")
    return folder


def test_it_has_the_code_its_data_and_what_is_shipped(tmp_path: Path) -> None:
    project, library = make_project(tmp_path / "project"), tmp_path / "library-1.so"
    library.write_bytes(b"\x7fELF")
    package = "pipeline"
    archive = pack_code(tmp_path / "cache", [library], {"processor": "of mine"}, project)
    with tarfile.open(archive) as opened:
        found = {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]
    assert found == {
        "config.py": b"A = 1\n",
        f"{package}/table.csv": b"a,b\n",
        "shipped/library-1.so": b"\x7fELF",
        "shipped/processor": b"of mine",
    }


def test_it_has_folders_of_further_code(tmp_path: Path) -> None:
    (tmp_path / "my_job" / "__pycache__").mkdir(parents=True)
    (tmp_path / "my_job" / "gold.py").write_text("B = 1\n")
    (tmp_path / "my_job" / "__pycache__" / "x.pyc").write_bytes(b"x")
    archive = pack_code(tmp_path / "cache", [], {}, make_project(tmp_path / "project"), [tmp_path / "my_job"])
    with tarfile.open(archive) as opened:
        assert "shipped/my_job/gold.py" in opened.getnames()
        assert not any("x.pyc" in name for name in opened.getnames())


def test_it_is_made_once_for_the_same_content(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    first = pack_code(tmp_path / "cache", [], {}, project)
    made = first.stat().st_mtime_ns
    assert pack_code(tmp_path / "cache", [], {}, project) == first
    assert first.stat().st_mtime_ns == made
    (project / "config.py").write_text("A = 2\n")
    other = pack_code(tmp_path / "cache", [], {}, project)
    assert other != first
    assert sorted((tmp_path / "cache").iterdir()) == sorted([first, other]), "nothing half written is left"


def test_the_same_content_has_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    archives = [pack_code(tmp_path / name, [], {}, make_project(tmp_path / f"of {name}")) for name in ("a", "b")]
    assert archives[0].name == archives[1].name
    assert archives[0].read_bytes() == archives[1].read_bytes()
