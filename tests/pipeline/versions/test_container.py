"""In a container, a run says which of its folders no volume keeps."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.versions.container import VARIABLE, folders_without_volume, in_container, volume_note
from tests.end_to_end.program import HEADER, environment, run, run_json
from tests.harness import IN_MEMORY

OVERLAY = "700 600 0:50 / / rw,relatime master:300 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A:/B"
VFS = "700 600 8:1 /var/lib/docker/vfs/dir/5f2d / rw,relatime master:1 - ext4 /dev/sda1 rw"
BTRFS = "700 600 0:31 /@/var/lib/docker/btrfs/subvolumes/5f2d / rw,relatime - btrfs /dev/sda1 rw,subvolid=300"
DISK = "26 27 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"
VOLUME = r"720 700 8:1 /home/me/my\040data {} rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw"
MEMORY = "721 700 0:60 / {} rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose processes run in no container."""
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "root" / "proc" / "self").mkdir(parents=True)
    return tmp_path / "root"


def mount(root: Path, *lines: str) -> None:
    (root / "proc" / "self" / "mountinfo").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
@pytest.mark.parametrize("layer", [OVERLAY, VFS, BTRFS])
def test_docker_and_podman_mark_a_container(mark: str, layer: str, root: Path) -> None:
    mount(root, layer)
    assert not in_container(root)
    (root / mark).parent.mkdir(exist_ok=True)
    (root / mark).touch()
    assert in_container(root)


@pytest.mark.parametrize("disk", [DISK, MEMORY.format("/dev/shm"), ""])
def test_a_mark_alone_may_be_left_from_the_image_of_a_machine(disk: str, root: Path) -> None:
    if disk:
        mount(root, disk)
    (root / ".dockerenv").touch()
    assert not in_container(root)
    assert volume_note(["output"], root) is None


def test_the_variable_decides_where_it_is_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "docker")
    assert in_container(root)
    monkeypatch.setenv(VARIABLE, "")
    (root / ".dockerenv").touch()
    assert not in_container(root)


def test_folders_on_no_volume_are_found(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that do not exist yet, and those that a link leads to."""
    data, space = tmp_path / "data", tmp_path / "my data"
    for folder in (data, space, data / "memory"):
        folder.mkdir()
    (tmp_path / "link").symlink_to(data)
    folders = [str(tmp_path / name) for name in ("data/x/output", "my data/out", "data/memory/x", "link/x", "away/x")]
    memory = MEMORY.format(data / "memory")
    mount(root, OVERLAY, VOLUME.format(data), memory, VOLUME.format(str(space).replace(" ", r"\040")))
    assert folders_without_volume(folders, root) == [], "no container"
    monkeypatch.setenv(VARIABLE, "docker")
    assert folders_without_volume(folders, root) == [folders[2], folders[4]]
    mount(root, OVERLAY, MEMORY.format(data), VOLUME.format(data))
    assert folders_without_volume(folders, root) == [folders[1], folders[4]], "the later mount hides the earlier"


def test_nothing_is_said_where_the_system_does_not_tell_of_mounts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "docker")
    assert volume_note(["output"], root) is None


def test_the_note_names_the_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "docker")
    mount(root, OVERLAY)
    note = volume_note(["pipeline_data/intermediate", "pipeline_data/output"], root)
    assert note is not None
    assert "no volume is mounted at pipeline_data/intermediate and pipeline_data/output: " in note
    assert 'docker run -v "$PWD/data:/data"' in note


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, which is no volume on any machine."""
    if IN_MEMORY is None:
        pytest.skip("there is no shared memory")
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_a_run_says_so_at_once_and_in_its_record(memory: Path) -> None:
    (memory / "log.csv").write_text(HEADER + "i,u,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n")
    env = environment() | {VARIABLE: "docker"}
    said = "no volume is mounted at pipeline_data/intermediate and pipeline_data/output"
    ended = run("--input", "log.csv", "--engine", "polars", cwd=memory, env=env)
    assert ended.code == 0, ended.err
    assert ended.err.startswith(f"note: this is a container, and {said}")
    assert said in notes_of(memory)
    quiet = run("--input", "log.csv", "--engine", "polars", "--quiet", cwd=memory, env=env)
    assert (quiet.code, quiet.err) == (0, "")
    run_json("--input", "log.csv", "--full-refresh", cwd=memory)
    assert "volume" not in notes_of(memory), "no container"


def notes_of(folder: Path) -> str:
    record = (folder / "pipeline_data" / "output").resolve().parent / "run.json"
    return "\n".join(json.loads(record.read_text())["notes"])
