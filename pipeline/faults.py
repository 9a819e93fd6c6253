"""Named points at which tests kill the program or make the disk fail. Without the variable a point costs a comparison.

    LOGMILLTEST_FAULT=<point>:<n>[:<errno or signal name>]

The fault comes when a process of the run passes the point for the n-th time: OSError with this errno, this signal for
the main process, or, without either, SIGKILL for the main process and for the process that passes. The variable is read
when this module is imported.
"""

import errno
import multiprocessing
import os
import signal

VARIABLE = "LOGMILLTEST_FAULT"
_MAIN = "LOGMILLTEST_MAIN"
"""The environment variable with the number of the main process. The first process of the run that gets here sets it."""

_name, _, _rest = os.environ.get(VARIABLE, "").partition(":")
_number, _, _errno = _rest.partition(":")
_passed = 0

if _name:
    _parent = multiprocessing.parent_process()  # None in the main process, and in Spark's workers, which inherit _MAIN
    os.environ.setdefault(_MAIN, str(_parent.pid if _parent else os.getpid()))


def point(name: str) -> None:
    """Pass the point ``name``. Raises OSError, or ends the process, where the variable asks for it."""
    if _name and name == _name:
        _strike()


def _strike() -> None:
    global _passed
    _passed += 1
    if _passed != int(_number or 1):
        return
    if _errno.startswith("SIG"):
        os.kill(int(os.environ[_MAIN]), getattr(signal, _errno))
        return
    if _errno:
        code = getattr(errno, _errno)
        raise OSError(code, os.strerror(code))
    os.kill(int(os.environ[_MAIN]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
