"""What a container keeps: which folders lie on a volume, and which go with the container."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.machine import display_name, existing_parent
from pipeline.storage.urls import is_url

VARIABLE = "container"
"""Set by the image and by Podman, as systemd's container interface has it (https://systemd.io/CONTAINER_INTERFACE)."""

_MARKS = ".dockerenv", "run/.containerenv"
"""Files that Docker and Podman make in every container. They stay where an image becomes the disk of a machine."""

_LAYERS = "overlay", "fuse.fuse-overlayfs", "aufs", "tmpfs"
"""Kinds of file systems that containers have as their root, and machines do not."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class _Mount:
    point: Path
    kind: str
    source: str
    """The folder of the file system that is mounted."""

    @property
    def lasts(self) -> bool:
        return self.point != Path("/") and self.kind != "tmpfs"

    @property
    def is_layer(self) -> bool:
        """Whether this root is a container's own: an overlay, or a folder of the disk of the machine around it."""
        return self.kind in _LAYERS or self.source != "/"


def volume_note(folders: Sequence[str], root: Path = Path("/")) -> str | None:
    """What to say where folders go with the container in which this process runs; None where none does.

    ``root`` stands for ``/`` in tests.
    """
    lost = folders_without_volume(folders, root)
    if not lost:
        return None
    places = " and ".join(display_name(folder) for folder in lost)
    return (
        f"this is a container, and no volume is mounted at {places}: what a run writes there goes with the container. "
        'Mount a folder that holds it, such as docker run -v "$PWD/data:/data" ...'
    )


def folders_without_volume(folders: Sequence[str], root: Path = Path("/")) -> list[str]:
    """Those of the folders that lie in the container's own files or in memory; none outside a container."""
    if not in_container(root):
        return []
    mounts = _mounts(root)
    local = [folder for folder in folders if not is_url(folder)]
    return [folder for folder in local if not _lasts(existing_parent(Path(folder)).resolve(), mounts)]


def in_container(root: Path = Path("/")) -> bool:
    """Whether this process runs in a container.

    The variable ``container`` decides where it is set; empty means no. Otherwise a container has a mark of Docker or
    Podman, and a root that is a layer of its own: a mark alone may be left from the image that a machine was made of.
    """
    if VARIABLE in os.environ:
        return bool(os.environ[VARIABLE])
    marked = any((root / mark).exists() for mark in _MARKS)
    return marked and any(mount.is_layer for mount in _mounts(root) if mount.point == Path("/"))


def _lasts(folder: Path, mounts: Sequence[_Mount]) -> bool:
    """Whether a volume holds the folder: the innermost mount around it, and of those at one point the last."""
    around = [mount for mount in mounts if folder.is_relative_to(mount.point)]
    return not around or max(reversed(around), key=lambda mount: len(mount.point.parts)).lasts


def _mounts(root: Path) -> list[_Mount]:
    """All mounts, as proc_pid_mountinfo(5) lists them; none where the system does not tell."""
    try:
        lines = (root / "proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        place, _, file_system = line.partition(" - ")
        source, point = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), part) for part in place.split()[3:5])
        found.append(_Mount(Path(point), file_system.split()[0], source))
    return found
