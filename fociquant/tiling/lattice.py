"""Fixed lattices anchored at the section's top-left corner.

Three lattices, all in pixels of the analysis grid:

* **windows**, what the network sees: a core whose output is kept, and a margin;
* **decode cells**, on which flows become objects: a core and a halo larger than the
  largest cell. An object belongs to the one decode cell whose core holds its centre;
* **blocks**, whole numbers of decode cells: how work is bundled, nothing more.

Because windows and decode cells never move, a pixel's flows and an object's outline
do not depend on the block, the worker or the order in which they were computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fociquant.model import Box

WINDOW_CORE_PX = 512
"""Core of a network window, unless the network wants another."""
WINDOW_MARGIN_PX = 32
"""Context on each side of it; 576 px in all, a multiple of the network's stride."""
WINDOW_STRIDE_PX = 16
"""Windows at the section's end are cut to a multiple of this."""
DECODE_CORE_PX = 1024
"""Core of a decode cell."""
DECODE_HALO_PX = 96
"""Halo on each side; four times the diameter that cells have on the analysis grid."""
STRIP_CELLS = 8
"""Blocks are visited down strips of this many decode cells, so that neighbours share windows."""

Index = tuple[int, int]
"""(row, column) on a lattice."""


@dataclass(frozen=True, slots=True)
class Block:
    """A bundle of decode cells that is computed and stored as one.

    Parameters
    ----------
    index : (int, int)
        Row and column on the lattice of blocks.
    cells : tuple of (int, int)
        Its decode cells, sorted.
    """

    index: Index
    cells: tuple[Index, ...]

    @property
    def name(self) -> str:
        """File-name part, for example ``r0003c0012``."""
        return f"r{self.index[0]:04d}c{self.index[1]:04d}"


@dataclass(frozen=True, slots=True)
class Lattice:
    """The lattices of one section.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the section on the analysis grid, px.
    window_core_px, window_margin_px : int
        Of the network.
    fixed_window : bool
        Whether windows at the section's end keep their full size.
    decode_core_px, decode_halo_px : int
        Of a decode cell; the core is a multiple of 64.
    """

    shape: tuple[int, int]
    window_core_px: int = WINDOW_CORE_PX
    window_margin_px: int = WINDOW_MARGIN_PX
    fixed_window: bool = False
    decode_core_px: int = DECODE_CORE_PX
    decode_halo_px: int = DECODE_HALO_PX

    @property
    def image(self) -> Box:
        """The whole section."""
        return Box.of_shape(self.shape)

    @property
    def cells(self) -> Index:
        """Number of decode cells along y and x."""
        core = self.decode_core_px
        return -(-self.shape[0] // core), -(-self.shape[1] // core)

    def cell_core(self, cell: Index) -> Box:
        """Core of a decode cell, inside the section."""
        return _square(cell, self.decode_core_px).intersect(self.image)

    def cell_region(self, cell: Index) -> Box:
        """Core and halo of a decode cell, inside the section."""
        whole = _square(cell, self.decode_core_px).expand(self.decode_halo_px)
        return whole.intersect(self.image)

    def cell_number(self, cell: Index) -> int:
        """Row-major number of a decode cell, from 0."""
        return cell[0] * self.cells[1] + cell[1]

    def window_core(self, window: Index) -> Box:
        """Core of a network window, inside the section."""
        return _square(window, self.window_core_px).intersect(self.image)

    def window_input(self, window: Index) -> Box:
        """What the network sees of a window; its margins may leave the section."""
        core = _square(window, self.window_core_px)
        if self.fixed_window:
            return core.expand(self.window_margin_px)
        seen = core.intersect(self.image).expand(self.window_margin_px)
        height, width = (-(-edge // WINDOW_STRIDE_PX) * WINDOW_STRIDE_PX for edge in seen.shape)
        return Box(seen.y0, seen.x0, seen.y0 + height, seen.x0 + width)

    def windows_over(self, box: Box) -> list[Index]:
        """Windows whose cores meet `box`, row by row."""
        inside = box.intersect(self.image)
        if not inside.area:
            return []
        core = self.window_core_px
        rows = range(inside.y0 // core, -(-inside.y1 // core))
        columns = range(inside.x0 // core, -(-inside.x1 // core))
        return [(row, column) for row in rows for column in columns]

    def blocks(self, block_px: int) -> list[Block]:
        """All blocks of about `block_px`, in the order in which they are best visited.

        Parameters
        ----------
        block_px : int
            Wanted edge, px; rounded up to whole decode cells.
        """
        per_block = max(1, -(-block_px // self.decode_core_px))
        rows, columns = (-(-count // per_block) for count in self.cells)
        strip = max(1, STRIP_CELLS // per_block)
        return [
            Block((row, column), tuple(self._cells_of((row, column), per_block)))
            for start in range(0, columns, strip)
            for row in range(rows)
            for column in range(start, min(start + strip, columns))
        ]

    def _cells_of(self, block: Index, per_block: int) -> Iterator[Index]:
        for row in range(block[0] * per_block, min((block[0] + 1) * per_block, self.cells[0])):
            for column in range(
                block[1] * per_block, min((block[1] + 1) * per_block, self.cells[1])
            ):
                yield row, column


def _square(index: Index, edge: int) -> Box:
    y0, x0 = index[0] * edge, index[1] * edge
    return Box(y0, x0, y0 + edge, x0 + edge)
