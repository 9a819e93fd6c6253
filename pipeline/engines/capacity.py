"""What a cluster has for a run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Capacity:
    """What the executors of a cluster have: ``cores``, all together, and ``core_bytes`` of memory for each of them."""

    cores: int
    core_bytes: int
