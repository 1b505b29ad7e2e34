"""How somebody wants to see the channels: kept from section to section."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fociquant._layers import LayerData

if TYPE_CHECKING:
    from napari.layers import Layer

TAG = "fociquant"
"""Key of a layer's metadata that holds its role."""

KEPT = ("visible", "contrast_limits", "gamma")
"""What is kept of a channel if it was set by hand."""


class Choices:
    """What was set by hand, by role; what nobody touched is as each section needs it."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._set: dict[str, dict[str, Any]] = {}
        self._given: dict[str, dict[str, Any]] = {}

    def apply(self, root: Path, channels: list[LayerData]) -> list[LayerData]:
        """Channels of the next section as they were left.

        Parameters
        ----------
        root : pathlib.Path
            Results folder; another study is stained in another way, and begins anew.
        channels : list of LayerData
        """
        if root != self._root:
            self._root, self._set = root, {}
        self._given = {}
        for _, arguments, _ in channels:
            role = arguments["metadata"][TAG]
            arguments.update(self._set.get(role, {}))
            self._given[role] = {name: arguments.get(name, 1.0) for name in KEPT}
        return channels

    def take(self, layers: Iterable[Layer]) -> None:
        """Look what was set by hand, before the layers go."""
        for layer in layers:
            given = self._given.get(layer.metadata.get(TAG, ""), {})
            now = {name: _plain(getattr(layer, name)) for name in given}
            other = {name: now[name] for name in given if now[name] != _plain(given[name])}
            if other:
                self._set.setdefault(layer.metadata[TAG], {}).update(other)
        self._given = {}


def _plain(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else value
