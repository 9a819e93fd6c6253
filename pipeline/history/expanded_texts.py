"""Recognizes logs that were read as plain text and are compressed now, as rotation does a day later."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.history.carry_over import Intake
from pipeline.history.inventory import identity
from pipeline.history.known_files import KnownFile
from pipeline.reading.archives import is_archive
from pipeline.reading.input_files import InputFile, hash_beginning


def recognize_texts(intake: Intake, files: Sequence[InputFile], fingerprint: str) -> tuple[Intake, list[InputFile]]:
    """(The intake in which recognized logs are not read again, the ``files`` without them).

    A compressed log is recognized by its expanded text: that of a plain one which counts and is no longer found where
    it was. Of each log whose text has the size of such a file, the hash is taken.
    """
    inventory = intake.inventory
    gone = [
        file
        for file in (*intake.still_counted, *intake.pruned, *inventory.replaced.values())
        if file.usable(fingerprint) and not is_archive(file.path) and file not in inventory.elsewhere
    ]
    found: dict[str, KnownFile] = {}
    for file in files:
        if file.expanded and file.path in inventory.fresh:
            same = [known for known in gone if known.text_size == file.size and known.text_size]
            same = [known for known in same if hash_beginning(file.expanded.spool, file.size) == known.file_hash]
            if same:
                found[file.path] = same[0]
                gone.remove(same[0])
    if not found:
        return intake, list(files)
    ids = {file.id for file in found.values()}
    compressed = {file.path: file.expanded.file_hash for file in files if file.expanded}
    moved = {
        path: replace(known, path=identity(path), file_hash=compressed[path], hint=inventory.hints[path])
        for path, known in found.items()
    }
    inventory = replace(
        inventory,
        reused={**inventory.reused, **moved},
        fresh=tuple(path for path in inventory.fresh if path not in found),
        moved=(*inventory.moved, *((known, path) for path, known in moved.items())),
        renamed=(*inventory.renamed, *((known.path, path) for path, known in found.items())),
        replaced={path: file for path, file in inventory.replaced.items() if file.id not in ids},
        missing=tuple(file for file in inventory.missing if file.id not in ids),
    )
    still = tuple(file for file in intake.still_counted if file.id not in ids)
    return replace(intake, inventory=inventory, still_counted=still), [file for file in files if file.path not in found]
