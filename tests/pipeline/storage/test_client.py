"""Each bucket has one client in a process, of the class of its scheme."""

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from pipeline.storage.client import store_of
from tests.storage_servers import found_at


@pytest.mark.parametrize(
    ("url", "kind"),
    [("s3://logs/a/b.csv", S3Store), ("gs://logs/a/b.csv", GCSStore), ("az://logs/a/b.csv", AzureStore)],
)
def test_the_scheme_chooses_the_client(url: str, kind: type) -> None:
    with found_at("http://127.0.0.1:9", AZURE_STORAGE_ACCOUNT_NAME="team"):
        store, key = store_of(url)
        assert isinstance(store, kind)
        assert key == "a/b.csv"
        assert store_of(url.replace("a/b", "c"))[0] is store
