"""Room ``prepare``: facts of a whole section, found once.

:func:`prepare_section` is what a run calls. :func:`channel_scale` and
:func:`pixel_noise` are the same rules on plain arrays, for whoever must scale
crops as a section would be scaled.
"""

from __future__ import annotations

from fociquant.prepare.compartments import COMPARTMENTS, locate
from fociquant.prepare.flatfield import corrected
from fociquant.prepare.regions import Piece, find_pieces, region_mask
from fociquant.prepare.scale import channel_scale, pixel_noise
from fociquant.prepare.section import Prepared, find_outline, prepare_section
from fociquant.prepare.slope import TissueSquares, autofluorescence_slope
from fociquant.prepare.unmixing import UNMIXING_REACH_PX, find_unmixing, unmixed

__all__ = [
    "COMPARTMENTS",
    "UNMIXING_REACH_PX",
    "Piece",
    "Prepared",
    "TissueSquares",
    "autofluorescence_slope",
    "channel_scale",
    "corrected",
    "find_outline",
    "find_pieces",
    "find_unmixing",
    "locate",
    "pixel_noise",
    "prepare_section",
    "region_mask",
    "unmixed",
]
