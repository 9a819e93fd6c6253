"""Each failure of a storage is told with the place and what to do, and never with a secret or a server's own text."""

from collections.abc import Callable

import pytest

from pipeline.errors import EnvironmentFault
from pipeline.storage import client
from pipeline.storage.faults import StorageFault
from pipeline.storage.objects import list_objects, look_at, read_object, write_object
from tests.storage_servers import KEY, SECRET, answer_with, error, found_at, odd_server

ACTIONS: list[Callable[[], object]] = [
    lambda: list(list_objects("s3://logs/in/")),
    lambda: read_object("s3://logs/in/a.csv"),
    lambda: write_object("s3://logs/in/a.csv", b"x"),
]


def told(action: Callable[[], object]) -> str:
    with pytest.raises(StorageFault) as found:
        action()
    assert isinstance(found.value, EnvironmentFault)
    assert found.value.exit_code == 5
    text = str(found.value)
    assert text.startswith("s3://logs/in/")
    assert KEY not in text
    assert SECRET not in text
    return text


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (404, "NoSuchBucket", "there is no such bucket. Make it, or correct its name"),
        (301, "PermanentRedirect", "lies in another region than it was asked in. Set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "lies in another region than it was asked in. Set AWS_REGION"),
        (403, "AccessDenied", "the storage forbids it. Allow these credentials to list, read, write and delete there."),
        (403, "InvalidAccessKeyId", "the storage refuses these credentials"),
        (403, "SignatureDoesNotMatch", "the storage refuses these credentials"),
        (400, "ExpiredToken", "the storage refuses these credentials: unknown, expired"),
        (500, "InternalError", "the storage answered status 500 (InternalError)"),
        (503, "SlowDown", "the storage answered status 503 (SlowDown)"),
    ],
)
def test_an_error_of_the_storage(status: int, code: str, advice: str) -> None:
    with odd_server(lambda handler: answer_with(handler, status, error(code))) as endpoint, found_at(endpoint):
        for action in ACTIONS:
            assert advice in told(action), action


@pytest.mark.parametrize(("key", "shown"), [("in/a//b.csv", '"in/a//b.csv"'), ("in/a&#10;b.csv", r'"in/a\nb.csv"')])
def test_a_key_that_clients_cannot_use_is_named(key: str, shown: str) -> None:
    listing = (
        f"<ListBucketResult><Name>logs</Name><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><Size>3</Size>"
        '<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"x"</ETag></Contents></ListBucketResult>'
    )
    with odd_server(lambda handler: answer_with(handler, 200, listing.encode())) as endpoint, found_at(endpoint):
        said = told(ACTIONS[0])
    assert f"cannot be listed: the key {shown} is not usable" in said
    assert said.endswith("Rename or remove the object.")


def test_a_bucket_that_is_not_there_is_told_apart_from_an_object(bucket: str) -> None:
    with pytest.raises(StorageFault) as found:
        list(list_objects(f"{bucket}-other/"))
    assert found.value.no_bucket


def test_nobody_answers() -> None:
    with found_at("http://127.0.0.1:9"):
        for action in ACTIONS:
            assert "nothing answers there. Check the network and the endpoint (AWS_ENDPOINT_URL)" in told(action)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    with odd_server(lambda handler: answer_with(handler, 404)) as endpoint, found_at(endpoint):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", endpoint)
        assert "no credentials were found. Set AWS_ACCESS_KEY_ID" in told(ACTIONS[0])


def test_a_profile_has_the_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    path = f"{tmp_path}/credentials"
    with open(path, "w") as file:
        file.write(f"[team]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", path)
    monkeypatch.setenv("AWS_PROFILE", "team")
    client._open.cache_clear()
    write_object(f"{bucket}/x", b"by profile")
    assert read_object(f"{bucket}/x") == b"by profile"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "find_spec", lambda _: None)
    client._open.cache_clear()
    with pytest.raises(Exception, match="requirements-storage"):
        look_at("s3://bucket/x")


@pytest.mark.parametrize("url", ["gs://logs/in/a.csv", "az://logs/in/a.csv"])
def test_other_clouds_without_credentials(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    with odd_server(lambda handler: answer_with(handler, 404)) as endpoint, found_at(endpoint):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GCE_METADATA_HOST", endpoint.removeprefix("http://"))
        monkeypatch.setenv("GCE_METADATA_ROOT", endpoint.removeprefix("http://"))
        monkeypatch.setenv("GCE_METADATA_IP", endpoint.removeprefix("http://"))
        with pytest.raises(StorageFault, match=f"{url} cannot be read: no credentials were found"):
            read_object(url)
