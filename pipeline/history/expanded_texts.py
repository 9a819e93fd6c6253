"""Recognizes logs that were read as plain text and are compressed now, as rotation does a day later."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from pipeline.history.carry_over import Intake
from pipeline.history.inventory import identity
from pipeline.history.known_files import KnownFile
from pipeline.history.known_list import FilesByPath
from pipeline.reading.archives import is_archive
from pipeline.reading.input_files import InputFile, hash_beginning
from pipeline.reading.packed_files import pack_files


def recognize_texts(intake: Intake, files: Sequence[InputFile], fingerprint: str) -> tuple[Intake, Sequence[InputFile]]:
    """(The intake in which recognized logs are not read again, the ``files`` without them).

    A compressed log is recognized by its expanded text: that of a plain one which counts and is no longer found where
    it was. Of each log whose text has the size of such a file, the hash is taken.
    """
    inventory = intake.inventory
    if not any(file.expanded for file in files):
        return intake, files
    elsewhere = {file.id for file in inventory.elsewhere}
    gone: dict[int, list[KnownFile]] = {}
    for file in chain(intake.still_counted, intake.pruned, inventory.replaced.values()):
        if file.text_size and file.usable(fingerprint) and not is_archive(file.path) and file.id not in elsewhere:
            gone.setdefault(file.text_size, []).append(file)
    found: dict[str, KnownFile] = {}
    fresh = frozenset(inventory.fresh)
    for log in files:
        same_size = gone.get(log.size) if log.expanded and log.path in fresh else None
        if log.expanded and same_size:
            text_hash = hash_beginning(log.expanded.spool, log.size)
            same = [known for known in same_size if known.file_hash == text_hash]
            if same:
                found[log.path] = same[0]
                same_size.remove(same[0])
    if not found:
        return intake, files
    ids = {file.id for file in found.values()}
    compressed = {log.path: log.expanded.file_hash for log in files if log.expanded}
    moved = {
        path: replace(known, path=identity(path), file_hash=compressed[path], hint=inventory.hints[path])
        for path, known in found.items()
    }
    inventory = replace(
        inventory,
        reused=FilesByPath.of({**inventory.reused, **moved}),
        fresh=tuple(path for path in inventory.fresh if path not in found),
        moved={**inventory.moved, **moved},
        renamed=(*inventory.renamed, *((known.path, path) for path, known in found.items())),
        replaced={path: file for path, file in inventory.replaced.items() if file.id not in ids},
        missing=tuple(file for file in inventory.missing if file.id not in ids),
    )
    still = tuple(file for file in intake.still_counted if file.id not in ids)
    return replace(intake, inventory=inventory, still_counted=still), pack_files(
        log for log in files if log.path not in found
    )
