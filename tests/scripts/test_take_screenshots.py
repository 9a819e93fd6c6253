"""Pictures of the pages show what the program prints today, numbers apart."""

from pathlib import Path

import pytest

from scripts.browser import find_chromium
from scripts.take_screenshots import IMAGES, NAMES, main, without_numbers


def test_numbers_and_what_only_slow_machines_show_are_left_out() -> None:
    quick = "phase 1   1.18 s   102 MB/s\npreparing 2 s\n  \npredicted 6.20 s\nversion v/20261130T194206Z-a576ff\n"
    slow = "phase 1   2 min 05 s   1.5 GB/s\n12.5\nversion v/20261201T000001Z-000000\n"
    assert without_numbers(quick) == without_numbers(slow) == "phase 0 0 s 0 B/s\nversion v/VERSION\n"
    assert without_numbers("30 November 2026, 15:14 UTC, 3 minutes ago") == "DAY, 0 UTC, AGO\n"
    assert without_numbers("2 rejected") != without_numbers("2 kept")


@pytest.mark.slow
def test_the_pictures_show_what_the_program_shows_today(tmp_path: Path) -> None:
    if not find_chromium():
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    main(NAMES, tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        texts = [(folder / f"{name}.txt").read_text(encoding="utf-8") for folder in (tmp_path, IMAGES)]
        assert texts[0].splitlines() == texts[1].splitlines(), "run: python -m scripts.take_screenshots"
