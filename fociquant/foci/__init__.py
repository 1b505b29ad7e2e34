"""Rows to foci: which positive cells belong together, and what the group is called.

No pixels are read here. A *focus* is a metastatic focus: cancer cells in tissue
whose outlines are at most ``link_um`` apart, edge to edge, linked singly across
the whole section, so that no tile border can cut one.

>>> from fociquant.foci import find_foci
>>> result = find_foci(cells, link_um=20.0, profile=profile, phenotypes=["Ki67"])  # doctest: +SKIP
"""

from __future__ import annotations

from fociquant.foci._bands import Bands, Tissue, focus_bands
from fociquant.foci._find import FociResult, find_foci, shapes_of
from fociquant.foci._sensitivity import link_sensitivity

__all__ = [
    "Bands",
    "FociResult",
    "Tissue",
    "find_foci",
    "focus_bands",
    "link_sensitivity",
    "shapes_of",
]
