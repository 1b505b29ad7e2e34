"""The layers of the section that is open, and the tools with which one draws on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_fociquant._choices import Choices
from napari_fociquant._layers import (
    CELLS,
    FOCI,
    REGIONS,
    UNITS,
    LayerData,
    channel_layers,
    class_colours,
    outline_layer,
    overlay_layers,
    state_colours,
)
from napari_fociquant._section import OpenSection

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

TAG = "fociquant"
"""Key of a layer's metadata by which our layers are known."""

TITLE = "fociquant"
"""Of the window where no section is open."""

CLICK_PX = 4.0
"""A press that moves less than this on the screen is a click, px."""

DRAWING = "Draw here"
"""Name of the layer on which regions and cuts are drawn."""

OFFERED = "Region that was drawn"
"""Name of the layer with a region that still waits for its reason."""

MARK, MARK_UM = "Candidate", 20.0
"""Name of the layer with a square round the candidate that was jumped to, and its edge, µm."""

JUMP_UM = 240.0
"""Width of the slide that is shown after a jump, µm."""

REDRAW_MS = 15
"""Decisions that come so close together are drawn once, ms."""

SETTLE_MS = 200
"""A section just opened is looked at again after this, when docks have found their size, ms."""


class SectionView(QObject):
    """Shows one section in the viewer.

    Attributes
    ----------
    drawn : Signal(object)
        Vertices (n, 2), (y, x) in µm, of the polygon or line that was finished.
    clicked : Signal(float, float)
        (y, x), µm, of a click on the slide.
    """

    drawn = Signal(object)
    clicked = Signal(float, float)

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: dict[str, Layer] = {}
        self._drawing: Layer | None = None
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self._refresh)
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(SETTLE_MS)
        self._settling.timeout.connect(self._settle)
        self._looked: tuple[OpenSection, tuple[float, ...]] | None = None
        self._choices = Choices()
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.layers.events.removed.connect(self._forget)

    def show(self, section: OpenSection) -> None:
        """Replace what was shown by this section."""
        self.clear()
        layers = self._choices.apply(section.results.root, self._channels(section))
        layers += overlay_layers(section.facts, section.shape, section.pixel)
        layers.append(outline_layer(
            section.rings, section.shape, section.pixel, name=FOCI,
            colours=class_colours(len(section.results.classes)),
        ))  # fmt: skip
        layers.append(outline_layer(
            section.outlines, section.shape, section.pixel, name=CELLS, colours=state_colours(),
        ))  # fmt: skip
        for data, arguments, kind in layers:
            layer = getattr(self._viewer, f"add_{kind}")(data, **arguments)
            layer.locked = True
            self._layers[arguments["name"]] = layer
        self._show_regions(section)
        self._rest()
        self._viewer.canvas.overlays.scale_bar.visible = True
        self._viewer.title = f"fociquant – section {section.code}"
        self._viewer.reset_view()
        self._look_at_tissue(section)
        self._looked = section, self._camera()
        self._settling.start()

    def _rest(self) -> None:
        """Make the marker's layer the active one: a label layer would take the keys of the review
        for its own tools, and contrast is set of what is judged.
        """
        ours = list(self._layers.values())
        marker = [layer for layer in ours if layer.metadata.get(TAG) == "marker"]
        for layer in (marker or ours)[:1]:
            self._viewer.layers.selection.active = layer

    def _camera(self) -> tuple[float, ...]:
        camera = self._viewer.scene.camera
        return (*camera.center, camera.zoom)

    def _settle(self) -> None:
        """Look again: with the first layers docks change their size, and what was painted for
        the old one would lack its borders. Whoever has moved on already stays there.
        """
        section, before = self._looked or (None, ())
        if section is not None and np.allclose(self._camera(), before):
            self._look_at_tissue(section)
        self._refresh()

    def _look_at_tissue(self, section: OpenSection) -> None:
        """Fill the canvas with the tissue: several sections may lie on one slide."""
        places = np.argwhere(section.facts.outline)
        if not len(places):
            return
        size = np.array([section.facts.overview_px.y, section.facts.overview_px.x])
        low, high = places.min(axis=0) * size, (places.max(axis=0) + 1) * size
        camera = self._viewer.scene.camera
        camera.center = (0.0, *((low + high) / 2).tolist())
        camera.zoom = 0.95 * float(np.min(np.array(self._viewer.canvas.size) / (high - low)))

    @staticmethod
    def _channels(section: OpenSection) -> list[LayerData]:
        if section.image is None:
            return []
        return channel_layers(
            section.image, section.roles, section.pixel, stats=section.facts.stats
        )

    def clear(self) -> None:
        """Remove our layers; those of the user stay."""
        self._settling.stop()
        self._looked = None
        self.stop_drawing()
        ours = [one for one in self._viewer.layers if TAG in one.metadata]
        self._choices.take(ours)
        if ours:
            # napari collects garbage and builds its scene anew once, not after each layer: half of
            # what it takes to open the next section.
            with self._viewer.layers.batched_update():
                for layer in ours:
                    self._viewer.layers.remove(layer)
        self._layers.clear()
        self._viewer.title = TITLE

    def update_cells(self, section: OpenSection, *, replaced: bool) -> None:
        """Draw decisions: soon, once for all that come together."""
        if replaced:
            self._replace(section, CELLS, section.outlines, state_colours())
        self._show_regions(section)
        self._redraw.start()

    def update_foci(self, section: OpenSection) -> None:
        """Draw other rings."""
        self._replace(section, FOCI, section.rings, class_colours(len(section.results.classes)))

    def _replace(self, section: OpenSection, name: str, outlines: Any, colours: list[str]) -> None:
        layer = self._layers.get(name)
        if layer is None or layer not in self._viewer.layers:
            return
        data, _, _ = outline_layer(
            outlines, section.shape, section.pixel, name=name, colours=colours
        )
        layer.data = data

    def _refresh(self) -> None:
        layer = self._layers.get(CELLS)
        if layer is not None:
            layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _show_regions(self, section: OpenSection) -> None:
        regions = section.session.regions
        layer = self._layers.get(REGIONS)
        if layer is not None and layer.metadata[TAG] == tuple(regions):
            return
        rings = [ring for rings in regions.values() for ring in rings]
        if layer is not None and rings:
            # Another layer would take a second of napari's time, and drawing it anew with it.
            layer.data = [(ring, "polygon") for ring in rings]
            layer.metadata = {TAG: tuple(regions)}
            return
        self._drop(REGIONS)
        if rings:
            layer = self._viewer.add_shapes(
                rings, shape_type="polygon", name=REGIONS, face_color="#7A6FB040",
                edge_color="#7A6FB0", edge_width=3, units=UNITS, metadata={TAG: tuple(regions)},
            )  # fmt: skip
            self._keep(REGIONS, layer)

    def _keep(self, name: str, layer: Layer) -> None:
        """A layer that was added is one of ours: nobody edits it, and it is not the active one."""
        self._layers[name] = layer
        layer.locked = True
        self._rest()

    def _drop(self, name: str) -> None:
        """Remove one of our layers, unless the user did."""
        layer = self._layers.pop(name, None)
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _forget(self, event: Any) -> None:
        """A layer was removed, by us or by the user: if it is one of ours, do without it."""
        there = self._viewer.layers
        self._layers = {name: one for name, one in self._layers.items() if one in there}
        if self._drawing is not None and self._drawing not in there:
            self._drawing = None

    def offer(self, points: np.ndarray | None) -> None:
        """Show a region that was drawn and waits for its reason, (n, 2) µm; None: no more."""
        self._drop(OFFERED)
        if points is None or len(points) < 2:
            return
        layer = self._viewer.add_shapes(
            [points], shape_type="polygon", name=OFFERED, face_color="#FFFFFF20",
            edge_color="#FFFFFF", edge_width=2, units=UNITS, metadata={TAG: OFFERED},
        )  # fmt: skip
        self._keep(OFFERED, layer)

    def mark(self, y_um: float, x_um: float) -> None:
        """Draw a square round a candidate; the one before has none any more."""
        layer = self._layers.get(MARK)
        if layer is not None and layer in self._viewer.layers:
            layer.data = [[y_um, x_um]]
            return
        layer = self._viewer.add_points(
            [[y_um, x_um]], name=MARK, symbol="square", size=MARK_UM, face_color="transparent",
            border_color="#FFFFFF", border_width=0.04, units=UNITS, metadata={TAG: MARK},
        )  # fmt: skip
        self._keep(MARK, layer)

    def channel(self, role: str) -> Layer | None:
        """The layer of a channel."""
        ours = self._layers.values()
        return next((layer for layer in ours if layer.metadata.get(TAG) == role), None)

    def set_visible(self, role: str, *, on: bool) -> None:
        """Show a channel, or put it away."""
        layer = self.channel(role)
        if layer is not None:
            layer.visible = on

    def layer(self, name: str) -> Layer | None:
        """One of our layers."""
        return self._layers.get(name)

    def jump(self, y_um: float, x_um: float) -> None:
        """Bring a place to the middle, near enough to judge it."""
        camera = self._viewer.scene.camera
        camera.center = (0.0, y_um, x_um)
        width = float(self._viewer.canvas.size[1])
        camera.zoom = max(camera.zoom, width / JUMP_UM)

    def start_drawing(self, mode: str) -> None:
        """Let the user draw a polygon (``add_polygon``) or a line; asked twice, let it be."""
        again = self._drawing is not None and self._drawing.mode == mode
        self.stop_drawing()
        if again:
            return
        self._drawing = self._viewer.add_shapes(
            name=DRAWING, ndim=2, face_color="#7A6FB040", edge_color="#FFFFFF", edge_width=2,
            units=UNITS, metadata={TAG: DRAWING},
        )  # fmt: skip
        self._drawing.mode = mode
        self._drawing.events.data.connect(self._on_data)

    @property
    def drawing(self) -> bool:
        """Whether the user is drawing."""
        return self._drawing is not None

    def stop_drawing(self) -> None:
        """Put the pencil away."""
        layer, self._drawing = self._drawing, None
        if layer is not None and layer in self._viewer.layers:
            layer.events.data.disconnect(self._on_data)
            self._viewer.layers.remove(layer)
            self._rest()

    def _on_data(self, event: Any) -> None:
        if str(getattr(event, "action", "")).lower().endswith("added") and len(event.value):
            points = np.asarray(event.value[-1])[:, -2:]
            # napari is still busy with the layer that is about to be removed.
            QTimer.singleShot(0, lambda: self._finish(points))

    def _finish(self, points: np.ndarray) -> None:
        self.stop_drawing()
        self.drawn.emit(points)

    def _on_press(self, viewer: Any, event: Any) -> Any:
        """A click that is not the beginning of a drag."""
        start, pressed = np.asarray(event.position)[-2:], np.asarray(event.pos)
        moved = 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, _distance(event.pos, pressed))
            yield
        moved = max(moved, _distance(event.pos, pressed))
        if moved < CLICK_PX and self._drawing is None and self._layers:
            self.clicked.emit(float(start[0]), float(start[1]))

    def leave(self) -> None:
        """Let the viewer go."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._viewer.layers.events.removed.disconnect(self._forget)
        self._settling.stop()
        self._layers.clear()


def _distance(place: Any, pressed: np.ndarray) -> float:
    """How far the mouse is from where it was pressed, px on the screen."""
    return float(np.linalg.norm(np.asarray(place) - pressed))
