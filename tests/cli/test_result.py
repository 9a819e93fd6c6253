"""Exit codes of runs that ended with a result."""

import pytest

from cli.result import exit_code
from pipeline.publish.result import RefusedFile, RunResult
from pipeline.quality import QualityResult

REFUSED = (RefusedFile("a.csv", "it has no header."),)
STOPPED = (QualityResult("duplicates", 0, 9, "ok"), QualityResult("rejected", 5, 9, "fail", 0.1))
WARNED = (QualityResult("rejected", 5, 9, "warn", 0.1), QualityResult("rule:short", 5, 9, "reject"))


@pytest.mark.parametrize(
    ("status", "refused", "quality", "code"),
    [
        ("ok", (), WARNED, 0),
        ("partial", REFUSED, (), 6),
        ("partial", (), (), 6),
        ("failed", REFUSED, (), 3),
        ("failed", (), (), 1),
        ("failed", (), STOPPED, 4),
        ("failed", REFUSED, STOPPED, 4),
    ],
    ids=["ok", "partial", "partial by its status", "all refused", "fault", "gate", "gate and refused"],
)
def test_a_result_has_its_documented_exit_code(
    status: str, refused: tuple[RefusedFile, ...], quality: tuple[QualityResult, ...], code: int
) -> None:
    result = RunResult("id", status, "polars", "out", refused_files=refused, quality=quality)  # type: ignore[arg-type]
    assert exit_code(result) == code
