"""A command in a process of its own, told to the window line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, Signal

ASK_MS = 3_000
"""A command whose window closes may take so long to end by itself."""

KILL_AFTER_MS = 20_000
"""One that was killed is waited for so long."""


class _Process(QProcess):
    """A process that is there until its window has gone.

    The garbage collector would take it apart with the window in any order, also before it is
    asked to end; hence nothing of it may belong to the window alone.
    """

    def __init__(self) -> None:
        super().__init__()
        _held.add(self)

    def leave(self) -> None:
        """End what runs: nobody hears any more what it says."""
        self.blockSignals(True)
        end(self)
        _held.discard(self)


_held: set[_Process] = set()


def said_by(errors: str, otherwise: str) -> str:
    """What a command that failed wrote, as a window says it; `otherwise` if it wrote nothing."""
    return errors.strip().removeprefix("error: ") or otherwise


class Command(QObject):
    """Runs ``python ARGUMENTS``; one at a time.

    Attributes
    ----------
    said : Signal(dict)
        Each line of standard output that is a JSON object.
    finished : Signal(int, str, str)
        Exit code (-1 if it was killed or never began), all of standard output, all of
        standard error.
    """

    said = Signal(dict)
    finished = Signal(int, str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Not our child: Qt would kill it with us, without asking, when the window is closed.
        self._process = _Process()
        self.destroyed.connect(self._process.leave)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.kill)
        self._process.setProcessEnvironment(_environment())
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.readyReadStandardError.connect(self._read_errors)
        self._process.finished.connect(self._finish)
        self._process.errorOccurred.connect(self._fail)
        self._out, self._err, self._line = "", "", b""

    @property
    def running(self) -> bool:
        """Whether a command is at work."""
        return bool(self._process.state() != QProcess.ProcessState.NotRunning)

    def start(self, arguments: Sequence[str]) -> None:
        """Start a command; does nothing while another one runs."""
        if self.running:
            return
        self._out, self._err, self._line = "", "", b""
        self._process.start(interpreter(Path(sys.executable)), list(arguments))

    def stop(self) -> None:
        """Ask it to stop at the next good place; it can be continued later."""
        if self.running:
            self._process.write(b"stop\n")

    def kill(self) -> None:
        """End it now, and wait until it has ended."""
        end(self._process)

    def _read(self) -> None:
        data = self._line + bytes(self._process.readAllStandardOutput().data())
        *lines, self._line = data.split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._out += text + "\n"
        content = _parsed(text)
        if content is not None:
            self.said.emit(content)

    def _read_errors(self) -> None:
        self._err += bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._read_errors()
        if self._line:
            self._take(self._line)
            self._line = b""
        normal = status == QProcess.ExitStatus.NormalExit
        self.finished.emit(code if normal else -1, self._out, self._err)

    def _fail(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self.finished.emit(-1, "", self._process.errorString())


def end(process: QProcess) -> None:
    """End a command that runs, and wait until it has ended.

    It is asked first: a run ends its own workers, which nobody else would.
    """
    if process.state() == QProcess.ProcessState.NotRunning:
        return
    process.write(b"stop\n")
    process.closeWriteChannel()
    if not process.waitForFinished(ASK_MS):
        process.kill()
        process.waitForFinished(KILL_AFTER_MS)


def interpreter(running: Path) -> str:
    """The Python that runs commands: on Windows one with standard streams.

    Parameters
    ----------
    running : pathlib.Path
        The one that shows the window; started from a menu it may be ``pythonw.exe``.
    """
    console = running.with_name("python.exe")
    if running.name.lower() == "pythonw.exe" and console.exists():
        return str(console)
    return str(running)


def _environment() -> QProcessEnvironment:
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("PYTHONIOENCODING", "utf-8")
    environment.insert("PYTHONUNBUFFERED", "1")
    return environment


def _parsed(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
