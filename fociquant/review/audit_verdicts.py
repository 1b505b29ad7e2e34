"""What people found in the sample of an audit, read from their logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fociquant.errors import InputError
from fociquant.review.agreement import Kappa, cohen_kappa
from fociquant.review.audit_design import AuditDesign, AuditItem
from fociquant.review.decisions import Action, Entry, active_entries
from fociquant.review.read_log import Log

MAX_CELLS = 10_000
"""Largest number of missed cells in a field: a field of 200 µm holds some hundreds."""

Who = tuple[str, str]
"""Name and station of a reviewer."""

Verdicts = Mapping[str, int | None]
"""Item to what was found: 1 or 0 of an object, a number of cells of a field; None: nobody
could say."""


def check_verdict(item: AuditItem, value: int | None) -> int | None:
    """A verdict that can be one on this item.

    Parameters
    ----------
    item : AuditItem
    value : int or None
        Of an object 1 (a cancer cell) or 0, of a field the number of missed cells, 0 to
        `MAX_CELLS`; None: it cannot be said.

    Raises
    ------
    InputError
        Another value.
    """
    highest = MAX_CELLS if item.is_field else 1
    if value is None:
        return None
    if isinstance(value, bool) or int(value) != value or not 0 <= value <= highest:
        allowed = f"0 to {MAX_CELLS} missed cells" if item.is_field else "1 (cancer cell) or 0"
        raise InputError(f"{value!r} cannot be the verdict on {item.id}. Give {allowed}.")
    return int(value)


def verdicts_of(design: AuditDesign, entries: Sequence[Entry]) -> dict[str, int | None]:
    """Verdicts on the items of this draw that hold, of one log.

    Parameters
    ----------
    design : AuditDesign
    entries : sequence of Entry
        In order.

    Returns
    -------
    dict of str to (int or None)
        A later verdict replaces an earlier one. Verdicts on an earlier draw, whose items
        had the same names, are left out.
    """
    items = {item.id: item for item in design.items}
    found: dict[str, int | None] = {}
    for entry in active_entries(entries):
        item = items.get(str(entry.content.get("item")))
        if entry.action is not Action.AUDIT or item is None:
            continue
        if entry.content.get("draw") != design.draw or "value" not in entry.content:
            continue
        try:
            found[item.id] = check_verdict(item, entry.value)
        except (InputError, TypeError, ValueError):
            continue  # written by hand
    return found


def audit_verdicts(design: AuditDesign, logs: Iterable[Log]) -> dict[Who, dict[str, int | None]]:
    """Verdicts on the items of this draw, per reviewer.

    Parameters
    ----------
    design : AuditDesign
    logs : iterable of Log

    Returns
    -------
    dict of (str, str) to dict of str to (int or None)
        Name and station to item to verdict.
    """
    own: dict[Who, list[Log]] = {}
    for log in logs:
        if any(entry.action is Action.AUDIT for entry in log.entries):
            own.setdefault((log.reviewer, log.station), []).append(log)
    found: dict[Who, dict[str, int | None]] = {}
    for who in sorted(own):
        # A file that goes on from a broken one takes back what is in that one, too.
        ordered = sorted(own[who], key=lambda log: (log.entries[0].time, log.path))
        entries = [entry for log in ordered for entry in log.entries]
        found[who] = verdicts_of(design, entries)
    return found


def settle_verdicts(design: AuditDesign, verdicts: Mapping[Who, Verdicts]) -> dict[str, int | None]:
    """One verdict per item: that of most reviewers; a tie goes to the first by name.

    For fields the median is taken, rounded down. Who could not say has no vote; None where
    nobody could. Items that are not of the design, and verdicts that cannot be, are left out.
    """
    settled: dict[str, int | None] = {}
    for item in design.items:
        given = [own[item.id] for _, own in sorted(verdicts.items()) if item.id in own]
        said = [value for value in given if value is not None]
        if not item.is_field:
            said = [value for value in said if value in (0, 1)]
        if said:
            settled[item.id] = _settled(item, said)
        elif None in given:
            settled[item.id] = None
    return settled


def _settled(item: AuditItem, said: Sequence[int]) -> int:
    if item.is_field:
        return sorted(said)[(len(said) - 1) // 2]
    twice = 2 * sum(said)
    return said[0] if twice == len(said) else int(twice > len(said))


def audit_agreement(
    design: AuditDesign, verdicts: Mapping[Who, Verdicts]
) -> list[tuple[Who, Who, Kappa]]:
    """Cohen's kappa of each two reviewers, on the objects about which both could say."""
    objects = {item.id for item in design.items if not item.is_field}
    people = sorted(verdicts)
    pairs = []
    for index, one in enumerate(people):
        for other in people[index + 1 :]:
            mine, theirs = _known(verdicts[one]), _known(verdicts[other])
            both = sorted(objects & set(mine) & set(theirs))
            first = [mine[item] == 1 for item in both]
            second = [theirs[item] == 1 for item in both]
            pairs.append((one, other, cohen_kappa(first, second)))
    return pairs


def _known(verdicts: Verdicts) -> dict[str, int]:
    return {item: value for item, value in verdicts.items() if value is not None}
