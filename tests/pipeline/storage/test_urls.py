"""URLs are told from paths, divided and joined."""

import pickle

import pytest

from pipeline.storage.urls import ObjectUrl, has_magic, is_url, join_url, split_url


@pytest.mark.parametrize(
    ("path", "url"),
    [("s3://b/k", True), ("gs://b", True), ("az://c/k", True), ("/s3://b", False), ("s3:/b", False), ("logs", False)],
)
def test_only_known_schemes_are_urls(path: str, url: bool) -> None:
    assert is_url(path) is url


def test_a_url_is_bucket_and_key() -> None:
    assert split_url("s3://logs/2026/a b.csv") == ("s3://logs", "2026/a b.csv")
    assert split_url("gs://logs") == ("gs://logs", "")
    assert join_url("s3://logs/2026/", "a", "b.csv") == "s3://logs/2026/a/b.csv"
    assert [has_magic(path) for path in ("a*", "a?", "[a]", "a]")] == [True, True, True, False]


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://lo*s/key"])
def test_a_url_without_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="names no bucket: expected s3://BUCKET/KEY"):
        split_url(url)


@pytest.mark.parametrize("key", ["/logs", "a//b", "logs//", "./logs", "a/../b", "a/.", ".."])
def test_a_url_that_storages_take_for_another_one_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="has an empty name, "):
        split_url(f"s3://b/{key}")


@pytest.mark.parametrize("key", ["", "logs/", "a/.b/c..", "...", "**/*.csv", "a b/%2F"])
def test_other_names_are_fine(key: str) -> None:
    assert split_url(f"s3://b/{key}") == ("s3://b", key)


def test_what_was_found_is_text_that_knows_more() -> None:
    found = ObjectUrl("s3://logs/a.csv", 7, 1_000, '"tag"')
    assert found == "s3://logs/a.csv"
    assert {found: 1}["s3://logs/a.csv"] == 1
    copy = pickle.loads(pickle.dumps(found))
    assert (copy, copy.size, copy.modified_ns, copy.etag) == ("s3://logs/a.csv", 7, 1_000, '"tag"')
