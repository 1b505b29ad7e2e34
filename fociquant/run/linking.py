"""How the classes of foci depend on the linking distance, per group and day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fociquant.cohort import sort_mice
from fociquant.settings import FociProfile

NOT_DONE = "not worked out: a section has too many cells"


def sensitivity_table(
    rows: Sequence[dict[str, Any]],
    links: Sequence[pd.DataFrame | None],
    *,
    profile: FociProfile,
    link_um: float,
    reference_group: str | None,
) -> pd.DataFrame:
    """``foci_sensitivity.csv``.

    Parameters
    ----------
    rows : sequence of dict
        Of ``sections.csv``.
    links : sequence of pandas.DataFrame or None
        Per row, from :func:`fociquant.foci.link_sensitivity`; None: not counted, or too large.
    profile : FociProfile
    link_um : float
        In use, µm.
    reference_group : str or None
        Comes first on each day.

    Returns
    -------
    pandas.DataFrame
        ``group, dpi, link_um, in_use, foci``, the columns of the classes and ``link_note``:
        sums over counted sections that are no controls and of no excluded mouse. Empty counts where
        they are not known.
    """
    classes = [one.column for one in profile.classes]
    columns = ["group", "dpi", "link_um", "in_use", "foci", *classes, "link_note"]
    counted = [
        (row, link)
        for row, link in zip(rows, links, strict=True)
        if row["status"] == "done" and not row["control"] and not row.get("excluded")
    ]
    found: list[dict[str, Any]] = []
    for key in dict.fromkeys((row["group"], row["dpi"]) for row, _ in counted):
        own = [link for row, link in counted if (row["group"], row["dpi"]) == key]
        known = [link for link in own if link is not None]
        if len(known) < len(own):
            found.append({"group": key[0], "dpi": key[1], "link_um": link_um, "in_use": True,
                          "link_note": NOT_DONE})  # fmt: skip
            continue
        total = known[0].set_index("link_um")
        for link in known[1:]:
            total = total + link.set_index("link_um")
        for at, counts in total.iterrows():
            found.append(
                {"group": key[0], "dpi": key[1], "link_um": at, "in_use": at == link_um,
                 "foci": int(counts.sum()), **{name: int(counts[name]) for name in classes},
                 "link_note": ""}
            )  # fmt: skip
    table = pd.DataFrame(found, columns=columns)
    table = table.astype(dict.fromkeys(("foci", *classes), "Int64"))
    return sort_mice(table, reference_group=reference_group) if len(table) else table
