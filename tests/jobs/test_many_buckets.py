"""The jobs of the program in many buckets on the workers of a pool publish the bytes that one process publishes."""

from pathlib import Path

import pytest

from main import main
from pipeline.datasets import divide
from pipeline.privacy import KEY_VARIABLE
from tests.pipeline.datasets.jobs_for_tests import files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["warehouse", "late-payments", "inventory", "storefront", "example"])
def test_a_pool_with_many_buckets_publishes_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEY_VARIABLE, "one key for both outputs, which else have keys of their own")
    asked = ["job", name, "--as-of", "2026-06-01", "--workers", "2", "--quiet"]
    assert main([*asked, "--output", "whole/output"]) == 0
    with monkeypatch.context() as many:
        many.setattr(divide, "choose_buckets", lambda one, *_, **__: 8 if one.by else 1)
        many.setattr(divide, "memory_of_bucket", lambda *_: 10**18)  # so large that a table is made alone
        many.setattr(divide, "_SCATTER_ROWS", 500)
        assert main([*asked, "--source", str(_source(tmp_path)), "--output", "divided/output"]) == 0
    whole, divided = files(str(tmp_path / "whole/output")), files(str(tmp_path / "divided/output"))
    assert whole
    assert divided == whole


def _source(folder: Path) -> Path:
    (found,) = folder.glob("pipeline_data/jobs/*/demo")
    return found
