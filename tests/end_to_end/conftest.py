"""Generated logs that several tests share, and folders with a run in them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser

from pipeline.geo.table import load_geo_table
from scripts.browser import find_chromium, open_browser
from tests.end_to_end.program import environment, run


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files, 8 MB together: many conflicts and copies, quoted fields, both families of addresses, no rejects."""
    folder = tmp_path_factory.mktemp("logs")
    settings = environment(GENERATOR_MALFORMED=0, GENERATOR_CONFLICTS=0.01, GENERATOR_QUOTED=0.1)
    ended = run(
        "generate", "--files", 4, "--size", "8MB", "--users", 3000, "--output", folder, cwd=folder, env=settings
    )
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="session")
def region_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """A function: distinct addresses of the logs -> region, by the lookup that is tested against maxminddb."""

    def regions(files: list[Path], level: str = "region") -> dict[str, str]:
        table = load_geo_table(None, level, None, tmp_path_factory.mktemp("cache"))
        texts = [pl.read_csv(path, columns=["ip_address"], infer_schema=False)["ip_address"] for path in files]
        distinct = pl.concat(texts).unique()
        return dict(zip(distinct, (table.names[code] for code in table.lookup(distinct)), strict=True))

    return regions


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    with open_browser() as opened:
        yield opened
