"""Errors of other rooms as problems of a study."""

from __future__ import annotations

from fociquant.errors import FociquantError, Problem


def as_problems(error: FociquantError, where: str, *, path: str = "") -> list[Problem]:
    """One problem per line of an error's message.

    Parameters
    ----------
    error : FociquantError
        Its lines say what is wrong and, after the first full stop, the cure.
    where : str
        File, line and key, for the user to go to.
    path : str
        Left out where the message begins with it: `where` leads to it.

    Returns
    -------
    list of Problem
        At least one.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return [_problem(line.removeprefix(f"{path}: "), where) for line in lines]


def _problem(line: str, where: str) -> Problem:
    what, stop, cure = line.partition(". ")
    return Problem(where, f"{what}." if stop else what, cure or "Correct it and check again.")
