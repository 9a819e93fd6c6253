"""What the executors of a cluster get besides the code: the compiled library and the geo table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipeline.engines.code_archive import pack_code
from pipeline.geo.table import GeoTable
from pipeline.machine import PROJECT, cache_folder
from pipeline.native.build import PROCESSOR_FILE, portable_libraries, system_and_processor
from pipeline.planning.run_settings import Library


def program_archive(geo: GeoTable, library: Library) -> Callable[[], Path]:
    """Makes the archive of the program for executors, and returns its path; raises OSError."""
    portable = portable_libraries(cache_folder()) if library.path else []
    found = [library.path, *portable, Path(geo.source.prepared), Path(geo.source.compiled)]
    shipped = [path for path in found if path and path.exists() and PROJECT not in path.parents]
    return partial(pack_code, cache_folder(), shipped, {PROCESSOR_FILE: system_and_processor()})
