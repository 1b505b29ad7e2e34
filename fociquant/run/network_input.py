"""What the network gets to see of an image: marker and nuclei on the analysis grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fociquant.io import SectionImage
from fociquant.model import Box, ChannelStats, Unmixing
from fociquant.prepare import UNMIXING_REACH_PX, unmixed
from fociquant.segment.windows import Scale

NETWORK_ROLES = ("marker", "nucleus")

ReadRoles = Callable[[Box, tuple[str, ...]], np.ndarray]
"""Raw counts of some roles in a box of the grid, float32; roles without a channel are zeros."""


Channel = str | int | None
"""Name or index."""


def requested_roles(
    image: SectionImage, *, marker: Channel, nucleus: Channel, autofluorescence: Channel
) -> dict[str, int]:
    """Channels of an image that belongs to no study; the marker's is the first by default.

    Raises
    ------
    ChannelError
        If a channel is not there.
    """
    wanted = {"marker": 0 if marker is None else marker, "nucleus": nucleus}
    wanted["autofluorescence"] = autofluorescence
    return {role: image.channel_index(one) for role, one in wanted.items() if one is not None}


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """Marker and nuclei anywhere on a grid; see :class:`fociquant.segment.windows.PlaneReader`.

    Parameters
    ----------
    read : callable
    image : Box
        The whole grid.
    stats : mapping of str to ChannelStats
        Per role.
    unmixing : Unmixing or None
        What is taken off the marker; None: nothing.
    """

    read: ReadRoles
    image: Box
    stats: Mapping[str, ChannelStats]
    unmixing: Unmixing | None

    def __call__(self, box: Box, /) -> np.ndarray:
        """Counts, float32, shape (2, h, w)."""
        if self.unmixing is None:
            return self.read(box, NETWORK_ROLES)
        around = box.expand(UNMIXING_REACH_PX).intersect(self.image)
        marker, nucleus, light = self.read(around, (*NETWORK_ROLES, "autofluorescence"))
        inside = box.shift(-around.y0, -around.x0).slices
        return np.stack([unmixed(marker, light, self.unmixing)[inside], nucleus[inside]])

    @property
    def scales(self) -> list[Scale | None]:
        """What becomes 0 and 1 of each plane; None for one that is empty."""
        known = [self.stats.get(role) for role in NETWORK_ROLES]
        scales: list[Scale | None] = [None if one is None else (one.low, one.high) for one in known]
        if self.unmixing is not None:
            scales[0] = (self.unmixing.low, self.unmixing.high)
        return scales
