"""The jobs of the program in many buckets, on the workers of a pool or on Spark, publish the bytes of one process."""

import json
from pathlib import Path

import pytest

from main import main
from pipeline.datasets import divide
from pipeline.datasets.job import find_job, load_job
from pipeline.privacy import KEY_VARIABLE
from tests.needs import needs_java
from tests.pipeline.datasets.jobs_for_tests import files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["warehouse", "late-payments", "inventory", "storefront", "example"])
def test_a_pool_with_many_buckets_publishes_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_both(name, "polars", tmp_path, monkeypatch)


@pytest.mark.slow
@needs_java
@pytest.mark.parametrize("name", ["warehouse", "late-payments"])
def test_spark_publishes_the_same_bytes_and_keeps_the_laws(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_both(name, "spark", tmp_path, monkeypatch)
    record = json.loads((tmp_path / "divided/output").resolve().with_name("run.json").read_text())
    assert record["engine"] == "spark"
    capsys.readouterr()
    assert main(["job", name, "check", "--engine", "spark", "--output", "divided/output", "--json", "--quiet"]) == 0
    laws = json.loads(capsys.readouterr().out)["laws"]
    assert {law["table"] for law in laws} == set(load_job(str(find_job(name))).datasets)
    assert [law for law in laws if law["broken"]] == []


def publish_both(name: str, engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish the demo of a job by one process, and in many buckets by an engine: with the same bytes."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv(KEY_VARIABLE, "one key for both outputs, which else have keys of their own")
    asked = ["job", name, "--as-of", "2026-06-01", "--workers", "2", "--quiet"]
    assert main([*asked, "--engine", "polars", "--output", "whole/output"]) == 0
    with monkeypatch.context() as many:
        many.setattr(divide, "choose_buckets", lambda one, *_, **__: 8 if one.by else 1)
        many.setattr(divide, "memory_of_bucket", lambda *_: 10**18)  # so large that a table is made alone
        many.setattr(divide, "_SCATTER_ROWS", 500)
        divided = ["--engine", engine, "--source", str(_source(folder)), "--output", "divided/output"]
        assert main([*asked, *divided]) == 0
    found = files(str(folder / "whole/output"))
    assert found
    assert files(str(folder / "divided/output")) == found


def _source(folder: Path) -> Path:
    (found,) = folder.glob("pipeline_data/jobs/*/demo")
    return found
