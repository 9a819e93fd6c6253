"""How long quarantines are kept: their records hold personal data."""

import calendar
import os
import shutil
import time
from pathlib import Path

from pipeline.intermediate import is_run_folder

_DAY = 24 * 60 * 60


def remove_expired(versions: Path, days: int, now: float) -> list[str]:
    """Remove the quarantines of versions made more than ``days`` before ``now`` (epoch seconds); returns the versions.

    A version's own name tells when it was made, whoever has copied or touched it since. Its result stays. Raises
    OSError where a quarantine cannot be removed.
    """
    removed = []
    for version in sorted(path for path in versions.iterdir() if is_run_folder(path)):
        made = calendar.timegm(time.strptime(version.name.partition("-")[0], "%Y%m%dT%H%M%SZ"))
        quarantine = version / "quarantine"
        if now - made > days * _DAY and quarantine.is_dir() and not quarantine.is_symlink():
            age = version.stat()
            shutil.rmtree(quarantine)
            os.utime(version, ns=(age.st_atime_ns, age.st_mtime_ns))  # by which the oldest versions go
            removed.append(version.name)
    return removed
