"""Archives to try: whole ones of any number of parts, and damaged ones."""

import gzip
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st

from pipeline.errors import FileRefused
from pipeline.reading.archives import expand_file
from tests.harness import IN_MEMORY
from tests.properties.readers import fuzzed_files

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHECKED = {zstd.CompressionParameter.checksum_flag: 1}


@st.composite
def archives(draw: st.DrawFn) -> tuple[str, bytes, bytes, str]:
    """(suffix, an archive of several parts with checksums, its text, what was done to it)."""
    data, suffix = draw(fuzzed_files()), draw(st.sampled_from([".gz", ".zst"]))
    bounds = sorted(draw(st.lists(st.integers(1, len(data)), max_size=3)))
    parts = [data[start:stop] for start, stop in pairwise([0, *bounds, len(data)])]
    packed = [zstd.compress(p, options=CHECKED) if suffix == ".zst" else gzip.compress(p, mtime=0) for p in parts]
    archive = b"".join(packed)
    damage = draw(st.sampled_from(["none", "cut", "flipped", "tail"]))
    if damage == "cut":
        archive = archive[: -draw(st.integers(1, len(packed[-1]) - 1))]
    elif damage == "tail":
        archive += draw(st.sampled_from([b"\0" * 8, b"garbage", b"\x1f\x8b", b"\x28\xb5"]))
    elif damage == "flipped":
        at = draw(st.integers(0, len(archive) - 1))
        archive = archive[:at] + bytes([archive[at] ^ 1 << draw(st.integers(0, 7))]) + archive[at + 1 :]
    return suffix, archive, data, damage


def assert_archive_is_whole_or_refused(suffix: str, archive: bytes, data: bytes, damage: str) -> None:
    """All of the text, or FileRefused with nothing left; a flipped bit may lie where nothing depends on it."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        source, spool = Path(folder) / f"a.csv{suffix}", Path(folder) / "spool"
        source.write_bytes(archive)
        try:
            expand_file(str(source), spool, 1000, lambda _: None)
        except FileRefused:
            assert damage != "none"
            assert not spool.exists()
        else:
            assert damage in ("none", "flipped")
            assert spool.read_bytes() == data
