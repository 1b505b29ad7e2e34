"""What the window has done in another process: one JSON object a line on standard output.

The network is never imported where the window lives: a model that is stopped, or that runs
out of memory, takes nothing else with it. The parent writes ``stop`` to standard input, or
goes away; either ends the run as Ctrl-C would, and it can be continued.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fociquant.run.progress import Progress

EVERY_S = 0.2
"""At most one line of progress in this time."""


LISTEN_S = 0.1
"""How often it is looked, on Windows, whether the parent has said something."""


def say(event: str, **content: Any) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"event": event, **content}, allow_nan=False) + "\n")
    sys.stdout.flush()


class Events(Progress):
    """Progress of a run as events."""

    def __init__(self) -> None:
        self._seen, self._total, self._last = 0, 0, 0.0
        self._left: dict[str, int] = {}

    def start(self, pixels: Mapping[str, int]) -> None:
        """Section name to the pixels that it has."""
        self._total, self._left = sum(pixels.values()), dict(pixels)
        say("start", sections=len(pixels), pixels=self._total)

    def skip(self, section: str, pixels: int) -> None:
        """So many pixels need not be looked at, or were by an earlier run."""
        self._advance(section, pixels)

    def advance(self, section: str, pixels: int) -> None:
        """So many more pixels are done."""
        self._advance(section, pixels)

    def _advance(self, section: str, pixels: int) -> None:
        self._seen += pixels
        self._left[section] = self._left.get(section, 0) - pixels
        if time.monotonic() - self._last > EVERY_S:
            self._last = time.monotonic()
            say("advance", section=section, seen=self._seen, pixels=self._total)

    def done(self, section: str) -> None:
        """A section is complete."""
        say("done", section=section, seen=self._seen, pixels=self._total)

    def failed(self, section: str, reason: str) -> None:
        """A section could not be counted: nothing of it is left to do."""
        self._seen += max(self._left.pop(section, 0), 0)
        say("failed", section=section, reason=reason)

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """Something the user should know about a section."""
        for warning in warnings:
            say("note", section=section, warning=warning)

    def say(self, text: str) -> None:
        """Something the user should know about the run."""
        say("told", text=text)

    def close(self) -> None:
        """The sections have ended; tables and report are next."""
        say("tables")


def _obey() -> None:
    """Interrupt the run when the parent says so, or has gone."""
    _hear(sys.stdin.fileno())
    _thread.interrupt_main()


if sys.platform == "win32":
    import _winapi
    import msvcrt

    def _hear(stdin: int) -> None:
        """Wait for a word of the parent, or its end."""
        # Not by reading: whoever asks what standard input is, as libraries do when they are loaded
        # (OpenBLAS, numpy issue 24290), would wait until there was something to read.
        pipe = msvcrt.get_osfhandle(stdin)
        with suppress(OSError):
            while not _winapi.PeekNamedPipe(pipe)[0]:
                time.sleep(LISTEN_S)

else:

    def _hear(stdin: int) -> None:
        """Wait for a word of the parent, or its end."""
        # Not through sys.stdin: its lock would still be held when the interpreter ends.
        os.read(stdin, 64)


def run(study: Path, out: Path) -> int:
    """Count a study, telling how far it is.

    Returns
    -------
    int
        The exit code of ``fociquant run``.
    """
    from fociquant.errors import DiskError, FociquantError
    from fociquant.run.start import require_runnable
    from fociquant.run.study import run_study

    threading.Thread(target=_obey, daemon=True).start()
    try:
        outcome = run_study(require_runnable(study), out, progress=Events())
    except FociquantError as error:
        say("error", text=str(error))
        return 1 if isinstance(error, DiskError) else 2
    except KeyboardInterrupt:
        say("finished", failed=[], interrupted=True)
        return 130
    say("finished", failed=list(outcome.failed), interrupted=outcome.interrupted)
    return 130 if outcome.interrupted else int(bool(outcome.failed))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2])))
