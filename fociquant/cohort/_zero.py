"""What a count still allows: zero cells are not zero cancer."""

from __future__ import annotations

import math

from fociquant.counts import poisson_upper


def zero_note(sections: int, mice: int, per_mm2: float) -> str:
    """What no cell in so many sections still allows, in words."""
    where = f"no cell in {sections} {'section' if sections == 1 else 'sections'}"
    where += f" of {mice} mice" if mice > 1 else ""
    if not sections:
        return ""
    allowed = f"up to {poisson_upper(0, sections):.2g} per section"
    if math.isfinite(per_mm2):
        allowed += f" ({per_mm2:.2g} per mm²)"
    return f"{where}: {allowed} cannot be excluded (one-sided 95 %)"
