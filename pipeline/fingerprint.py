"""One text for everything that decides what Phase 1 makes of a file's bytes: only equal ones are ever mixed."""

import hashlib
import json
from dataclasses import asdict

from pipeline.header import Names
from pipeline.job import Job

FORMAT = 3
"""Raise it with every change by which the same bytes become other values, counts or files of a split
(tests/pipeline/test_fingerprint.py notices)."""


def fingerprint(job: Job, columns: Names) -> str:
    """Hash of the settings that shape a split; ``columns``: accepted header names of the columns that are read."""
    decides = {
        "format": FORMAT,
        "columns": {role: list(names) for role, names in columns.items()},
        "max_record": job.max_record,
        "keep": job.keep,
        "geo": job.geo_source.digest,
        "rules": [asdict(rule) for rule in job.rules],
        "pseudonyms": job.pseudonyms.digest if job.pseudonyms else "",
        "keep_raw": job.keep_raw,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
