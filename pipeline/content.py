"""The identity of an input file: a hash of its bytes as they lie on disk."""

import xxhash

_STEP = 2**20
"""Bytes read at a time: small enough to stay in the processor's cache between reading and hashing."""


def hash_file(path: str) -> str:
    """xxh3_128 of all bytes of a file, as 32 hexadecimal digits. Raises OSError where it cannot be read."""
    content = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_STEP))
    with open(path, "rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            content.update(buffer[:size])
    return content.hexdigest()
