"""Kernels by which tests try a cluster. They are shipped to executors, which do not see the other tests."""

import os
import signal
import time
from pathlib import Path

from pipeline.engines import Advance
from pipeline.machine import PROJECT


def look(context: str, _task: int, _: Advance) -> tuple[list[str], list[str], str]:
    """(What an executor sees of the driver's checkout, of its cache, and where the executor's program lies)"""
    checkout, cache = context.split("|")
    return os.listdir(checkout), os.listdir(cache), str(PROJECT)


def look_at_process(_: str, _task: int, __: Advance) -> tuple[str, list[tuple[str, int]], int]:
    """(Where a Python worker has pyspark from; the sockets in its folder, each with its rights; its umask)"""
    import pyspark

    sockets = [(path.name, path.lstat().st_mode & 0o777) for path in Path().iterdir() if path.is_socket()]
    usual = os.umask(0)
    os.umask(usual)
    return str(pyspark.__file__), sockets, usual


def die_once(context: str, task: int, advance: Advance) -> int:
    """Dies over task 5 the first time."""
    once = Path(context) / "once"
    if task == 5 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    advance(1)
    return 2 * task


def take_a_second(context: str, task: int, _: Advance) -> int:
    """Says that it has begun, and takes its time."""
    (Path(context) / f"began-{task}").touch()
    time.sleep(1)
    return task
