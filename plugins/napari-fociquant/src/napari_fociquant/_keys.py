"""Every key of the review: what it does, and how it is set to another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Action:
    """Something a reviewer does with one key.

    Parameters
    ----------
    name : str
        As in the settings file.
    key : str
        The key unless the settings file says otherwise; as Qt spells keys.
    short : str
        One word, for the line below a widget.
    text : str
        For the help.
    """

    name: str
    key: str
    short: str
    text: str


ACTIONS: tuple[Action, ...] = (
    Action("accept", "A", "accept", "Accept: these are cancer cells"),
    Action("reject", "R", "reject", "Reject: these are not"),
    Action("unsure", "U", "cannot say", "Audit: this one cannot be told"),
    Action("next", "N", "next", "Next candidate, focus of the queue, item of an audit"),
    Action("previous", "P", "previous", "The one before"),
    Action("merge", "M", "merge", "Merge the selected foci into one"),
    Action("split", "S", "split", "Split the focus: drag a line across it"),
    Action("add", "C", "add cell", "Add a missed cell: click on it; again to stop"),
    Action("exclude", "X", "exclude", "Exclude a region: click its corners, double-click the last"),
    Action("comment", "T", "comment", "Write a comment on the section or on what is selected"),
    Action("undo", "Ctrl+Z", "undo", "Take back the last decision, without limit"),
    Action("redo", "Ctrl+Shift+Z", "redo", "Bring back what was taken back last"),
    Action("unstained", "F", "autofluorescence", "Show the unstained channel, or put it away"),
    Action("find", "G", "find cell", "Go to a cell by its number"),
    Action("sign_off", "Shift+S", "sign off", "Sign off this section"),
    Action("next_section", "Shift+N", "next section", "Open the next section of the list"),
    Action("previous_section", "Shift+P", "section before", "Open the section before it"),
    Action(
        "jump",
        "Return",
        "show in slide",
        "From the gallery or the list to the place; takes the number of an audit",
    ),
)  # fmt: skip
"""In the order of the help."""


def shared_keys(keys: Mapping[str, str]) -> list[str]:
    """Keys that would do two things, in words; an action may have none.

    Parameters
    ----------
    keys : mapping of str to str
        Action to key.
    """
    texts = {action.name: action.short for action in ACTIONS}
    owners: dict[str, list[str]] = {}
    for name, key in keys.items():
        if key:
            owners.setdefault(key.casefold(), []).append(texts.get(name, name))
    return [
        f"{key.upper()} would do two things: {' and '.join(names)}."
        for key, names in owners.items() if len(names) > 1
    ]  # fmt: skip


def effective_keys(overrides: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The key of every action, and what is wrong with the settings.

    Parameters
    ----------
    overrides : mapping of str to str
        Action to key, from the settings file; ``""``: no key.

    Returns
    -------
    keys : dict of str to str
        One per action. Where two would share a key, the one that was set keeps it.
    problems : list of str
        Unknown actions, keys used twice.
    """
    known = {action.name: action.key for action in ACTIONS}
    problems = [f"unknown action {name!r} in the keys" for name in overrides if name not in known]
    keys = known | {name: key.strip() for name, key in overrides.items() if name in known}
    owner: dict[str, str] = {}
    for name in sorted(keys, key=lambda one: one not in overrides):
        folded = keys[name].casefold()
        if not folded:
            continue
        if folded in owner:
            problems.append(
                f"{keys[name]} is set for {owner[folded]!r} and {name!r}: {name!r} has no key now. "
                "Set one under 'all keys'."
            )
            keys[name] = ""
        else:
            owner[folded] = name
    return keys, problems
