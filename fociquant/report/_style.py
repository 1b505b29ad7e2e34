"""Colours, markers and the way figures become files."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from fociquant.atomic import write_bytes

REFERENCE_COLOUR = "#000000"
"""The reference group is black in every figure."""

GROUP_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Palette of Okabe and Ito (2008), told apart with any colour vision; without its yellow,
which is lost on paper."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Groups differ in shape too, for a black-and-white print; the reference is a circle."""

CONTROL_COLOUR = "#7F7F7F"
"""Negative-control mice."""

DOTS_PER_INCH = 200
"""Of the PNG files."""

_RC = {
    "text.parse_math": False,  # a group named '$a' is text
    "svg.hashsalt": "fociquant",  # the same ids in every run
    "svg.fonttype": "none",  # text stays editable
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.0,
}


LABEL_CHARS = 28
"""Longer names of groups are written in lines: beside a panel they would leave it no room."""


def fitting(name: str, *, lines: int = 2) -> str:
    """A name as it fits beside a panel: of a very long one, its beginning and its end.

    Parameters
    ----------
    name : str
    lines : int
        About so many of `LABEL_CHARS` characters.
    """
    room = LABEL_CHARS * lines
    if len(name) > room:
        end = room // 3
        name = f"{name[: room - end - 1].rstrip()}…{name[-end:].lstrip()}"
    return (
        name
        if len(name) <= LABEL_CHARS
        else textwrap.fill(name, LABEL_CHARS, subsequent_indent=" ")
    )


def legend_beside(figure: Figure, handles: Sequence[Artist], names: Iterable[str]) -> None:
    """A legend to the right of all panels, with names as they fit there."""
    # matplotlib hides labels that begin with an underscore
    labels = [f" {fitting(name)}" for name in names]
    figure.legend(handles, labels, loc="outside right upper", frameon=False)


@contextmanager
def figure_style() -> Iterator[None]:
    """Matplotlib's own defaults plus ours, whatever the user's are; restored afterwards."""
    with matplotlib.style.context(["default", _RC]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def group_styles(groups: Sequence[str], reference_group: str | None) -> dict[str, tuple[str, str]]:
    """Colour and marker of each group; the reference keeps its own in every figure."""
    others = [group for group in groups if group != reference_group]
    styles = {
        group: (GROUP_COLOURS[i % len(GROUP_COLOURS)], MARKERS[(i + 1) % len(MARKERS)])
        for i, group in enumerate(others)
    }
    return {group: styles.get(group, (REFERENCE_COLOUR, MARKERS[0])) for group in groups}


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``; the same figure gives the same bytes.

    Must be called inside :func:`figure_style`.
    """
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)  # once for both files
    figure.set_layout_engine("none")
    figure.set_dpi(DOTS_PER_INCH)
    # Not by Figure.savefig, which draws everything twice for each file.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg")]
    with ThreadPoolExecutor(1, thread_name_prefix="fociquant-png") as beside:
        # Compressing pixels needs no Python: the other file is drawn meanwhile.
        written = beside.submit(_write_png, paths[0], canvas.buffer_rgba())
        memory = io.BytesIO()
        FigureCanvasSVG(figure).print_svg(memory, metadata={"Date": None})
        write_bytes(paths[1], memory.getvalue())
        written.result()
    return paths


def _write_png(path: Path, pixels: memoryview) -> None:
    memory = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels))
    image.save(memory, format="png", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))
    write_bytes(path, memory.getvalue())
