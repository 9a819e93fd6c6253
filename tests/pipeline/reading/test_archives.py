"""Archives are expanded whole or refused, in bounded memory and disk; expectations come from how they were built."""

import gzip
import os
import random
import shutil
import tracemalloc
import zlib
from collections import namedtuple
from pathlib import Path
from typing import Protocol

import polars as pl
import polars_hash as plh
import pytest

from pipeline.errors import FileRefused
from pipeline.reading import archives
from pipeline.reading.archives import SMALL_BYTES, expand_beginning, expand_file, is_archive, zstd
from pipeline.reading.input_files import stamp

TEXT = b"".join(b"%d,user %d,8.8.8.8,%d\n" % (n, n * n % 7919, n % 60) for n in range(40))
CHECKED = {zstd.CompressionParameter.checksum_flag: 1}


def skippable(data: bytes) -> bytes:
    """A skippable frame, RFC 8878, 3.1.2."""
    return (0x184D2A53).to_bytes(4, "little") + len(data).to_bytes(4, "little") + data


GZIP, ZSTD = gzip.compress(TEXT, mtime=0), zstd.compress(TEXT, options=CHECKED)
ONE = {".csv.gz": GZIP, ".csv.zst": ZSTD}
WHOLE = {
    "a.csv.gz": (GZIP, TEXT),
    "two.csv.gz": (GZIP + gzip.compress(b"end"), TEXT + b"end"),
    "empty members.csv.gz": (gzip.compress(b"") + GZIP + gzip.compress(b""), TEXT),
    "nothing.csv.gz": (gzip.compress(b""), b""),
    "stored.tsv.GZ": (gzip.compress(os.urandom(300_000), compresslevel=0), None),
    "many.csv.gz": (gzip.compress(b"a,b\n") * 20_000, b"a,b\n" * 20_000),
    "a.csv.zst": (ZSTD, TEXT),
    "two.csv.zst": (ZSTD + zstd.compress(b"end"), TEXT + b"end"),
    "skippable.csv.zst": (skippable(b"12345") + ZSTD + skippable(b"") + zstd.compress(b"end"), TEXT + b"end"),
    "nothing.csv.zst": (zstd.compress(b""), b""),
    "only skippable.csv.zst": (skippable(b"x"), b""),
    "long.TSV.ZST": (zstd.compress(TEXT * 5000), TEXT * 5000),
}


class Expand(Protocol):
    """Expands bytes under a name; returns the text, or raises as ``expand_file``."""

    def __call__(self, data: bytes, name: str, max_ratio: int = 1000) -> bytes: ...


@pytest.fixture
def expand(tmp_path: Path) -> Expand:
    """A function: bytes and name of an archive -> what it expands to; checks that a refused one leaves nothing."""

    def expand_bytes(data: bytes, name: str, max_ratio: int = 1000) -> bytes:
        path, spool = tmp_path / name, tmp_path / "spool"
        path.write_bytes(data)
        told: list[int] = []
        try:
            found = expand_file(str(path), spool, max_ratio, told.append)
            text = spool.read_bytes()
            assert (found.spool, found.size, found.stamp) == (str(spool), len(text), stamp(str(path)))
            assert sum(told) == len(data)
            hashed = pl.DataFrame({"x": [data]}).select(plh.col("x").nchash.xxh3_128()).item()
            assert found.file_hash == f"{hashed:032x}"
            spool.unlink()
            return text
        finally:
            assert not spool.exists()

    return expand_bytes


@pytest.mark.parametrize("name", WHOLE)
def test_every_member_is_read(expand: Expand, name: str) -> None:
    data, text = WHOLE[name]
    assert is_archive(name)
    assert expand(data, name) == (gzip.decompress(data) if text is None else text)


@pytest.mark.parametrize("ending", ONE)
def test_every_truncation_is_refused(expand: Expand, ending: str) -> None:
    data = ONE[ending]
    for length in range(len(data)):
        with pytest.raises(FileRefused, match=r"truncated|no \w+ archive"):
            expand(data[:length], f"a{ending}")
        if length:  # at 0 the second member is merely absent
            with pytest.raises(FileRefused, match=r"truncated|corrupt"):
                expand(data + data[:length], f"a{ending}")


@pytest.mark.parametrize("ending", ONE)
def test_a_damaged_byte_is_noticed_or_harmless(expand: Expand, ending: str) -> None:
    """Harmless: what describes the archive, such as the time in a gzip header."""
    data, noticed = ONE[ending], 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        try:
            assert expand(bytes(damaged), f"a{ending}") == TEXT
        except FileRefused:
            noticed += 1
    assert noticed > len(data) * 0.9


@pytest.mark.parametrize("ending", ONE)
@pytest.mark.parametrize("garbage", [b"\0", b"x", b"log_id,user_id\n", b"\0" * 512])
def test_bytes_after_the_end_are_refused(expand: Expand, ending: str, garbage: bytes) -> None:
    with pytest.raises(FileRefused, match=r"other bytes follow it|truncated"):
        expand(ONE[ending] + garbage, f"a{ending}")


@pytest.mark.parametrize("ending", ONE)
def test_plain_data_under_an_archives_name_is_refused(expand: Expand, ending: str) -> None:
    with pytest.raises(FileRefused, match="name it without the ending"):
        expand(TEXT, f"a{ending}")
    with pytest.raises(FileRefused, match="truncated: it ends after 0 bytes"):
        expand(b"", f"a{ending}")


def zeros(ending: str, size: int) -> bytes:
    """An archive of ``size`` zero bytes, made piece by piece."""
    packer = zstd.ZstdCompressor() if ending == ".csv.zst" else zlib.compressobj(1, wbits=31)
    piece = bytes(2**20)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()


@pytest.mark.parametrize("ending", ONE)
def test_a_bomb_fills_neither_memory_nor_disk(expand: Expand, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zeros(ending, 10**9)
    assert len(bomb) < 10**7
    room = []
    usage = shutil.disk_usage
    monkeypatch.setattr(archives, "_check_room", lambda folder, expanded: room.append(expanded) or usage(folder))
    tracemalloc.start()
    try:
        with pytest.raises(FileRefused, match="MAX_EXPANSION_RATIO"):
            expand(bomb, f"bomb{ending}", max_ratio=10)
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()
    assert max(room) <= max(10 * len(bomb), SMALL_BYTES)


@pytest.mark.parametrize("ending", ONE)
def test_the_limit_is_a_ratio_beyond_a_small_allowance(
    expand: Expand, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zeros(ending, 4 * 2**20)
    assert expand(data, f"a{ending}", max_ratio=1) == bytes(4 * 2**20)
    monkeypatch.setattr(archives, "SMALL_BYTES", 100)
    ratio = 4 * 2**20 / len(data)
    assert len(expand(data, f"a{ending}", max_ratio=int(ratio) + 1)) == 4 * 2**20
    with pytest.raises(FileRefused, match="expands to more than"):
        expand(data, f"a{ending}", max_ratio=int(ratio))


def test_a_full_disk_refuses_the_file_before_it_is_full(expand: Expand, monkeypatch: pytest.MonkeyPatch) -> None:
    frees = iter([10**12, 10**12, archives.DISK_RESERVE])
    Usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(next(frees)))
    with pytest.raises(FileRefused, match="too little room"):
        expand(gzip.compress(bytes(100 * 2**20), compresslevel=1), "a.csv.gz")
    assert not list(frees)


def test_a_window_beyond_a_workers_memory_is_refused(expand: Expand) -> None:
    def packed(window: int) -> bytes:
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
        return packer.compress(TEXT, mode=packer.FLUSH_BLOCK) + packer.flush()

    assert expand(packed(27), "a.csv.zst") == TEXT
    with pytest.raises(FileRefused, match="memory"):
        expand(packed(28), "a.csv.zst")


def test_a_frame_without_a_checksum_is_read(expand: Expand) -> None:
    text = random.Random(1).randbytes(3 * 2**20)
    assert expand(zstd.compress(text, options={zstd.CompressionParameter.checksum_flag: 0}), "a.csv.zst") == text


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="cannot be read"):
        expand_file(str(tmp_path / "gone.csv.gz"), tmp_path / "spool", 10, print)
    assert not (tmp_path / "spool").exists()


def test_the_beginning_of_an_archive_tells_its_size(tmp_path: Path) -> None:
    text = b"".join(b"%d,%d\n" % (n, n * n % 1013) for n in range(300_000))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    found = expand_beginning(str(tmp_path / "a.csv.gz"), tmp_path / "x", 10**6)
    assert found.size == pytest.approx(len(text), rel=0.2)
    spooled = (tmp_path / "x").read_bytes()
    assert text.startswith(spooled)
    assert 10**6 <= len(spooled) < len(text)
    whole = expand_beginning(str(tmp_path / "a.csv.gz"), tmp_path / "y", 10**8)
    assert whole.size == len(text)
    (tmp_path / "b.csv.gz").write_bytes(b"no archive")
    with pytest.raises(FileRefused, match="no gzip archive"):
        expand_beginning(str(tmp_path / "b.csv.gz"), tmp_path / "z", 10**6)
