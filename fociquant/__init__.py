"""fociquant counts disseminated cancer cells and metastatic foci in lung sections.

"Foci" here are metastatic foci: groups of cancer cells in tissue, not the
DNA-damage or transcription foci inside a nucleus.

The front door::

    from pathlib import Path
    from fociquant import load_study, run_study

    outcome = run_study(load_study(Path("study.yaml")), Path("results"))
    print(outcome.tables.mice)

The names below are imported when they are first used, so that ``import fociquant``
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Settings": "fociquant.settings",
    "Study": "fociquant.study",
    "find_foci": "fociquant.foci",
    "load_segmenter": "fociquant.segment",
    "load_study": "fociquant.study",
    "open_image": "fociquant.io",
    "recount": "fociquant.run.study",
    "run_study": "fociquant.run.study",
}
"""Public name to the module that has it."""

__all__ = [
    "Settings",
    "Study",
    "find_foci",
    "load_segmenter",
    "load_study",
    "open_image",
    "recount",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fociquant' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
