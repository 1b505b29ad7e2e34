"""The signals by which a run is asked to end."""

from __future__ import annotations

import signal


def _there(*names: str) -> list[signal.Signals]:
    """Those that this system has: Windows knows no SIGHUP."""
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


FROM_TERMINAL = _there("SIGINT", "SIGHUP")
"""Ctrl-C, and a terminal that closes: every process that was started in it gets them."""

ENDINGS = [*FROM_TERMINAL, *_there("SIGTERM")]
"""These, and what a batch system sends."""
