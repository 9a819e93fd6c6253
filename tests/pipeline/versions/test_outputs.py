"""The output is opened by its path or URL."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.versions.output_link import Output
from pipeline.versions.outputs import is_shown, open_output
from pipeline.versions.storage_output import StorageOutput
from tests.storage_servers import found_at


def test_a_path_is_a_link_and_a_url_is_on_a_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    local, stored = open_output(str(tmp_path / "out")), open_output("s3://results/daily/")
    assert type(local) is Output
    assert (local.key, local.place_of("v")) == (str(tmp_path / "out"), str(tmp_path / "out.versions" / "v"))
    assert type(stored) is StorageOutput
    assert (stored.key, stored.place_of("v")) == ("s3://results/daily", "s3://results/daily/runs/v")
    assert stored.link == open_output("s3://results/daily").link != open_output("s3://results/other").link
    with pytest.raises(ConfigError, match="a Delta table needs an output on a disk"):
        open_output("s3://results/daily", delta=True)


def test_a_storage_that_does_not_answer_shows_nothing() -> None:
    with found_at("http://127.0.0.1:9"):
        assert not is_shown("s3://results/daily", "v")
