"""Makes what the first run on a machine would make: for an image, ``python -m pipeline.planning.prepare``."""

import sys
from pathlib import Path

from config import Config
from pipeline.geo.table import load_geo_table
from pipeline.machine import cache_folder
from pipeline.native.build import compile_portable


def prepare(cache_dir: Path) -> str:
    """Compile the libraries, for other machines, too, and prepare the shipped geo table, both into ``cache_dir``.

    Returns why there is no library; empty where there is one. Raises what ``load_geo_table`` raises.
    """
    load_geo_table(None, Config().GEO_LEVEL, None, cache_dir)
    _, why_not = compile_portable(cache_dir)
    return why_not


if __name__ == "__main__":
    sys.exit(prepare(cache_folder()) or 0)
