"""How a run hides personal values: the method of each class, and where the key is."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.datasets.job import Job
from pipeline.errors import ConfigError
from pipeline.privacy import KeySource, find_key, has_key
from pipeline.sources.forgotten import own_key
from pipeline.sources.protection import METHODS, Protection, check_installed, choose_methods


def find_protections(job: Job, chosen: Mapping[str, str], key_file: str, own: Path) -> dict[str, Protection]:
    """By source with personal values that are hidden: how.

    ``chosen``: methods by class, instead of those of the job. ``key_file``: PSEUDONYM_KEY_FILE. ``own``: the file of a
    key of chance, which is made where nobody gave a key and a method needs one. Raises ConfigError for a class that no
    column has, an unknown method, and a key that is unfit.
    """
    methods = {**job.personal, **chosen}
    classes = {one.sensitive for source in job.sources.values() for one in source.contract.columns.values()}
    for kind, method in methods.items():
        if kind not in classes:
            known = ", ".join(sorted(filter(None, classes))) or "none"
            raise ConfigError(f"personal: no source of {job.name} has values of the class {kind!r}. Classes: {known}.")
        if method not in METHODS:
            raise ConfigError(f"personal: {kind} is {method!r}, expected one of {', '.join(METHODS)}.")
    columns = {name: choose_methods(source.contract, methods) for name, source in job.sources.items()}
    used = {method for found in columns.values() for method, _ in found.values()}
    if "encrypt" in used:
        check_installed()
    key = _find_key(key_file, own) if used & {"hash", "encrypt"} else None
    return {
        name: Protection(found, key if any(method in ("hash", "encrypt") for method, _ in found.values()) else None)
        for name, found in columns.items()
        if found
    }


def _find_key(key_file: str, own: Path) -> KeySource:
    if not has_key(key_file):
        own_key(own)
        return find_key(str(own))
    return find_key(key_file)
