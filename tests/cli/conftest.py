"""A pipeline that reads nothing: the command line is tested apart from the data path."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.publish.result import RefusedFile, RunDelta, RunResult
from pipeline.publish.tasks import RegionTotal
from pipeline.timing import PhaseSeconds

Run = Callable[..., RunResult]
Install = Callable[[Run], None]


@pytest.fixture
def result() -> RunResult:
    """A large partial run in which every field is filled."""
    return RunResult(
        run_id="v7",
        status="partial",
        engine="polars",
        output="pipeline_data/output",
        engine_note="auto: no usable Java, so the embedded engine",
        files=1_234,
        refused_files=(RefusedFile("logs/bad\n[red]name.csv", "no header under any delimiter"),),
        skipped_files=("README.md",),
        bytes_read=1_234_567_890_123,
        records_read=12_345_678_901,
        kept=11_345_678_901,
        duplicates_phase1=700_000_000,
        duplicates_phase2=299_999_000,
        conflicts=900,
        rejected=100,
        rejected_by_reason={"wrong_field_count": 60, "invalid_utf8": 40},
        blank_lines=3,
        preamble_lines=2,
        output_rows=100_100_100,
        users=100_000_000,
        total_micro_minutes=500_000_000_000_500_000,
        top_regions=(
            RegionTotal("North America", 100_000_000, 8_345_678_901, 4.0e11),
            RegionTotal("[red]\x1b[0m", 3, 5, 0.0),
        ),
        seconds=PhaseSeconds(3725.0, 3000.0, 700.0, 25.0),
        peak_memory_bytes=3_456_789_012,
        throughput_bytes_per_second=331_427_621.0,
        version="v7",
        new=RunDelta(files=1_234, bytes_read=1_234_567_890_123, records_read=12_345_678_901),
        workers=16,
        geo_build="2026-11",
        geo_attribution="IP Geolocation by DB-IP, https://db-ip.com (CC BY 4.0)",
        notes=("SPLIT_BYTES chosen: 64 MB",),
        quarantine="pipeline_data/intermediate/quarantine",
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Install:
    """Puts a function in the place of ``pipeline.orchestrator.run``, in an empty folder and a clean environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOGMILL_")]:
        monkeypatch.delenv(name)

    def put(run: Run) -> None:
        module = ModuleType("pipeline.orchestrator")
        module.run = run
        module.check_before_work = lambda _: None
        monkeypatch.setitem(sys.modules, "pipeline.orchestrator", module)

    return put
