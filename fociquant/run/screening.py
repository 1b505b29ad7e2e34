"""Which decode cells of a section can hold an object that passes the gate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fociquant.model import SectionFacts
from fociquant.run.plan import SectionPlan
from fociquant.settings import Settings


def cells_worth_counting(
    plan: SectionPlan, facts: SectionFacts, settings: Settings, *, check: Callable[[], None]
) -> np.ndarray:
    """Decode cells in which an object could pass the gate.

    Parameters
    ----------
    plan : SectionPlan
        Its image is open.
    facts : SectionFacts
    settings : Settings
        Of the gate only those in :data:`fociquant.run.plan.SCREENED_BY` are the study's (or the
        default where that lets more pass); the others are the defaults. So a mask depends on
        nothing else, and changing another rule of the gate reads no pixel.
    check : callable
        Called before every piece of work; raises if the run is to end.

    Returns
    -------
    numpy.ndarray of bool, shape ``plan.lattice.cells``
        True: to be counted.
    """
    check()
    return np.ones(plan.lattice.cells, bool)
