"""Packed files are the same again, and take little memory."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

from pipeline.reading.archives import Expanded
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.packed_files import PackedFiles, pack_files

HEADERS: tuple[Any, ...] = (None, *(Header(",", ("a",), {"log_id": 0}, 10, 2, width) for width in (20.0, 21.5)))


def made(count: int) -> Iterator[InputFile]:
    for n in range(count):
        stamp = (n, -n if n % 2 else 2**62 + n, 2**64 - 1 - n)
        expanded = Expanded("spool", n, stamp, "hash") if n % 100 == 7 else None
        yield InputFile(f"{n:05}", stamp, HEADERS[n % 3], expanded)


def test_few_files_stay_as_they_are() -> None:
    assert pack_files(made(1_000)) == tuple(made(1_000))
    assert pack_files([]) == ()


def test_many_files_are_packed_and_are_the_same_again() -> None:
    packed = pack_files(made(1_500))
    assert isinstance(packed, PackedFiles)
    assert len(packed) == 1_500
    assert list(packed) == list(packed) == list(made(1_500))
    assert (packed[7], packed[-1]) == (list(made(8))[7], list(made(1_500))[-1])
    assert packed[5:9] == tuple(made(9))[5:]


def test_a_packed_file_takes_64_bytes_beside_its_path_also_with_lines_of_a_width_of_its_own() -> None:
    paths = [f"{n:05}" for n in range(20_000)]

    def headers() -> Iterator[Any]:
        for n in range(20_000):
            yield Header(",", ("a", "b"), {"log_id": 0, "user_id": 1}, 10 + n % 3, 2, 50 + n / 7)

    tracemalloc.start()
    packed = PackedFiles(
        InputFile(path, (n + 2**40, 2**60 + n, 2**60), header)
        for n, (path, header) in enumerate(zip(paths, headers(), strict=True))
    )
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [file.header for file in packed] == list(headers())
    assert taken < 64 * 20_000
