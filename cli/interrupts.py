"""The signals that end a run early: Ctrl-C, a stopped container, a closed terminal. They raise KeyboardInterrupt."""

import signal
import time

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""SIGQUIT (Ctrl-\\) is left as it is: it ends the program at once, and leaves its files to the next run."""

_PATIENCE_SECONDS = 3.0
"""Further signals within this time are the same wish: a closing terminal and a hasty finger send several."""


def end_on_signals() -> None:
    """Have each signal raise KeyboardInterrupt in the main thread, so that the run removes what it must not leave.

    A signal that is ignored stays ignored: so ``nohup`` keeps a run alive when its terminal closes. Later signals are
    ignored for some seconds, so that they do not interrupt the removal.
    """
    interrupted_at: list[float] = []

    def interrupt(*_: object) -> None:
        now = time.monotonic()
        if not interrupted_at or now - interrupted_at[-1] > _PATIENCE_SECONDS:
            interrupted_at.append(now)
            raise KeyboardInterrupt

    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
