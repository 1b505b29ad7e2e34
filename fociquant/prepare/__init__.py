"""Room ``prepare``: facts of a whole section, found once.

:func:`prepare_section` is what a run calls. :func:`channel_scale` and
:func:`pixel_noise` are the same rules on plain arrays, for whoever must scale
crops as a section would be scaled.
"""

from __future__ import annotations

from fociquant.prepare.scale import channel_scale, pixel_noise
from fociquant.prepare.section import Prepared, prepare_section

__all__ = ["Prepared", "channel_scale", "pixel_noise", "prepare_section"]
