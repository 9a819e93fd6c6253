"""Objects are found, read, written, created once and deleted."""

import hashlib
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest

from pipeline.storage.client import store_of
from pipeline.storage.objects import (
    create_object,
    delete_objects,
    exists,
    find_objects,
    glob_to_pattern,
    list_objects,
    look_at,
    read_object,
    write_object,
)
from pipeline.storage.urls import ObjectUrl
from tests.storage_servers import answer_with, found_at, odd_server

KEYS = ["logs/a.csv", "logs/b.csv.gz", "logs/b.txt", "logs/deep/c.csv", "logs/deep/er/d.csv", "other/e.csv"]


@pytest.fixture
def filled(bucket: str) -> str:
    for key in KEYS:
        write_object(f"{bucket}/{key}", key.encode())
    return bucket


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("logs", ["logs/a.csv", "logs/b.csv.gz", "logs/b.txt"]),
        ("logs/", ["logs/a.csv", "logs/b.csv.gz", "logs/b.txt"]),
        ("logs/deep", ["logs/deep/c.csv"]),
        ("logs/*.csv", ["logs/a.csv"]),
        ("*/*.csv", ["logs/a.csv", "other/e.csv"]),
        ("logs/**/*.csv", ["logs/a.csv", "logs/deep/c.csv", "logs/deep/er/d.csv"]),
        ("logs/d*/?.csv", ["logs/deep/c.csv"]),
        ("logs/[!b]*", ["logs/a.csv"]),
        ("logs/[ab].*", ["logs/a.csv", "logs/b.csv.gz", "logs/b.txt"]),
        ("nowhere/*", []),
        ("nowhere", []),
    ],
)
def test_a_folder_has_its_own_objects_and_a_glob_those_that_match(filled: str, pattern: str, found: list[str]) -> None:
    assert list(find_objects(f"{filled}/{pattern}")) == [f"{filled}/{key}" for key in found]


def test_a_glob_has_the_meaning_that_pythons_own_has_for_files(tmp_path: Path) -> None:
    names = ["a.csv", "ab.csv", "a[1].csv", "b/a.csv", "b/c/a.csv", "a]b.csv", "a-b.csv", "a\\b.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for glob in ["*.csv", "a?.csv", "a[[]1].csv", "**/a.csv", "b/**", "a[]]b.csv", "a[!]]b.csv", "[a-b]b.csv"]:
        there = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob(glob) if path.is_file())
        matched = sorted(name for name in names if glob_to_pattern(f"s3://x/{glob}").fullmatch(f"s3://x/{name}"))
        assert matched == (there or sorted(n for n in names if n.startswith("b/"))), glob


def test_what_was_found_says_size_time_and_mark_and_outlives_a_pickle(filled: str) -> None:
    found = next(find_objects(f"{filled}/logs/*.csv"))
    copy = pickle.loads(pickle.dumps(found))
    seen = look_at(f"{filled}/logs/a.csv")
    for one in found, copy, seen:
        assert isinstance(one, ObjectUrl)
        assert (one, one.size) == (f"{filled}/logs/a.csv", len("logs/a.csv"))
        assert one.etag == f'"{hashlib.md5(b"logs/a.csv").hexdigest()}"'  # as S3 makes it of small objects
        assert one.modified_ns > 1.7e18


def test_only_the_first_of_several_creates_an_object(bucket: str) -> None:
    url = f"{bucket}/versions/1.json"
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: create_object(url, f"writer {n}".encode()), range(8)))
    assert won.count(True) == 1
    assert read_object(url) == f"writer {won.index(True)}".encode()


def test_who_tries_again_after_a_lost_answer_has_created_it(bucket: str) -> None:
    assert create_object(f"{bucket}/x", b"mine")
    assert create_object(f"{bucket}/x", b"mine")
    assert not create_object(f"{bucket}/x", b"another's")


def test_a_file_is_written_by_one_request_and_a_very_large_one_in_parts(bucket: str, tmp_path: Path) -> None:
    for name, size, etag in [("file", 12_800_000, ""), ("large", 65 * 2**20, "-5")]:
        data = bytes(range(256)) * (size // 256)
        (tmp_path / name).write_bytes(data)
        write_object(f"{bucket}/{name}", tmp_path / name)
        assert read_object(f"{bucket}/{name}") == data
        of_whole = hashlib.md5(data).hexdigest()
        assert look_at(f"{bucket}/{name}").etag.endswith(f'{etag or of_whole}"')  # S3 marks an object of five parts


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.parquet", "application/vnd.apache.parquet"), ("a.json", "application/json"), ("a.html", "text/html")],
)
def test_an_object_says_what_it_is(bucket: str, name: str, kind: str) -> None:
    write_object(f"{bucket}/{name}", b"x")
    said = obstore.get(*store_of(f"{bucket}/{name}")).attributes["Content-Type"]
    assert said.startswith(kind)


def test_deleted_objects_are_gone_and_may_have_been_gone_before(filled: str) -> None:
    delete_objects([f"{filled}/logs/a.csv", f"{filled}/never"])
    assert not exists(f"{filled}/logs/a.csv")
    assert exists(f"{filled}/logs/b.txt")
    assert len(list(list_objects(f"{filled}/"))) == len(KEYS) - 1


def test_an_object_that_is_not_there_is_a_missing_file(bucket: str) -> None:
    with pytest.raises(FileNotFoundError) as found:
        look_at(f"{bucket}/nowhere.csv")
    assert (found.value.filename, found.value.strerror) == (f"{bucket}/nowhere.csv", "there is no such object")


@pytest.mark.slow
def test_a_hundred_thousand_keys_are_listed_in_little_memory() -> None:
    def list_page(handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        first = int(query.get("continuation-token", ["0"])[0])
        entries = "".join(
            f"<Contents><Key>logs/{n:08d}.csv</Key><LastModified>2026-11-30T10:00:00.000Z</LastModified>"
            f"<ETag>&quot;{n:032x}&quot;</ETag><Size>{n}</Size></Contents>"
            for n in range(first, first + 1000)
        )
        more = first + 1000 < 100_000
        token = f"<NextContinuationToken>{first + 1000}</NextContinuationToken>" if more else ""
        answer_with(
            handler, 200, f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>".encode(),
        )  # fmt: skip

    with odd_server(list_page) as endpoint, found_at(endpoint):
        tracemalloc.start()
        try:
            count = sum(found.size == n for n, found in enumerate(find_objects("s3://bucket/logs")))
            _, streamed = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert count == 100_000
    assert streamed < 20e6  # with the server, which is in this process; all keys together take 40 MB
