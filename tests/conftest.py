"""What every test relies on."""

from __future__ import annotations

import signal
import threading

ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def _heard_again() -> None:
    """Signals that whoever started the tests ignores reach the processes that tests start.

    ``nohup`` and ``&`` in a script ignore some for all that follows, and a run that was told to
    ignore a signal does so; tests that send one need it heard.
    """
    for number in (getattr(signal, name) for name in ENDINGS if hasattr(signal, name)):
        if signal.getsignal(number) == signal.SIG_IGN:
            heard = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, heard)


if threading.current_thread() is threading.main_thread():
    _heard_again()
