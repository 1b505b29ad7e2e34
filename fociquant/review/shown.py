"""A section as one reviewer sees it: arrays that follow every decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fociquant.errors import InputError
from fociquant.model import FocusEdit
from fociquant.review.decisions import Action, CellRef, Entry
from fociquant.review.match import Candidates
from fociquant.review.results import SectionCells
from fociquant.review.signing import signature_of
from fociquant.review.state import Counts, SectionState
from fociquant.settings import ReviewSettings

LONG_LIST = 100
"""An entry about more cells than this names them by place only, without outlines."""


class ShownSection:
    """What a session shows; it changes nothing by itself.

    Rows of all arrays are the candidates of ``cells.parquet`` in their order, then added
    cells; a row never disappears (see :attr:`exists`).

    Parameters
    ----------
    cells : SectionCells
    settings : ReviewSettings
    """

    def __init__(self, cells: SectionCells, settings: ReviewSettings) -> None:
        frame = cells.frame
        self.section, self.results_key = cells.section, cells.results
        self._cells = frame
        self._numbers = frame["cell"].to_numpy(np.int64).copy()
        self._outlines: list[np.ndarray | None] = list(frame["outline"])
        self._row_of = {int(number): row for row, number in enumerate(self._numbers)}
        self._state = SectionState(
            frame["y_um"].to_numpy(np.float64), frame["x_um"].to_numpy(np.float64),
            frame["positive_automatic"].to_numpy(bool),
        )  # fmt: skip
        self._candidates = Candidates(
            self._numbers, self._state.y_um, self._state.x_um, self._outlines,
            results=self.results_key, settings=settings,
        )  # fmt: skip
        self._history: list[Entry] = []

    @property
    def cells(self) -> pd.DataFrame:
        """The candidates, as ``cells.parquet`` has them; added cells are not in it."""
        return self._cells

    @property
    def cell(self) -> np.ndarray:
        """Number of each row's cell, int64; numbers of added cells follow the candidates'."""
        return self._numbers

    @property
    def y_um(self) -> np.ndarray:
        """Centres, µm, float64."""
        return self._state.y_um

    @property
    def x_um(self) -> np.ndarray:
        """Centres, µm, float64."""
        return self._state.x_um

    @property
    def verdict(self) -> np.ndarray:
        """Per row, int8: 0 undecided, 1 accepted (or added), 2 rejected. A view: do not write."""
        return self._state.verdict

    @property
    def positive(self) -> np.ndarray:
        """Per row, bool: counted, with all decisions. A view: do not write."""
        return self._state.positive

    @property
    def positive_automatic(self) -> np.ndarray:
        """Per row, bool: counted without review."""
        return self._state.automatic

    @property
    def excluded(self) -> np.ndarray:
        """Per row, bool: in an excluded region."""
        return self._state.excluded

    @property
    def added(self) -> np.ndarray:
        """Per row, bool: a cell that was added."""
        return self._state.added

    @property
    def exists(self) -> np.ndarray:
        """Per row, bool: false for an added cell that was taken back."""
        return self._state.exists

    @property
    def second_looks(self) -> dict[int, int]:
        """Row to verdict (1 accepted, 2 rejected) of hidden repeats that were decided."""
        return self._state.second_looks

    @property
    def counts(self) -> Counts:
        """Cells in numbers; :attr:`reviewed_cells` alone is cheaper."""
        return self._state.counts

    @property
    def reviewed_cells(self) -> int:
        """Cells counted with all decisions."""
        return self._state.reviewed

    @property
    def history(self) -> tuple[Entry, ...]:
        """Everything this reviewer wrote on this section, in order."""
        return tuple(self._history)

    @property
    def regions(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Excluded regions that hold: hash of the entry to rings (n, 2), (y, x) in µm."""
        return {e.hash: e.polygons for e in self._state.active() if e.action is Action.EXCLUDE}

    @property
    def comments(self) -> list[tuple[Entry, np.ndarray]]:
        """Comments that hold, in order, each with the rows of its cells (none: the section)."""
        held = (entry for entry in self._state.active() if entry.action is Action.COMMENT)
        return [(entry, self._state.rows_of(entry.hash)) for entry in held]

    @property
    def focus_edits(self) -> list[FocusEdit]:
        """Merges, splits and classes that hold, in numbers of cells; for ``find_foci``."""
        return self._state.edits(self._numbers)

    @property
    def signed_off(self) -> bool:
        """Whether the section is signed off and nothing was decided since."""
        return signature_of(self._state) is not None

    def outline(self, cell: int) -> np.ndarray:
        """Outline of a cell, float64 (n, 2), (y, x) in µm; empty if it has none.

        Raises
        ------
        InputError
            There is no such cell.
        """
        flat = self._outlines[self._row(cell)]
        return np.asarray([] if flat is None else flat, np.float64).reshape(-1, 2)

    def outline_of_added(self) -> dict[int, np.ndarray]:
        """Number of each added cell that exists to its outline, float64 (n, 2), µm."""
        rows = np.flatnonzero(self.added & self.exists)
        return {int(self._numbers[row]): self.outline(int(self._numbers[row])) for row in rows}

    def added_row(self, ref: CellRef) -> int:
        """A new row, for a cell that was added."""
        row = self._state.add_row(ref.y_um, ref.x_um)
        number = int(self._numbers.max()) + 1 if len(self._numbers) else 1
        self._numbers = np.append(self._numbers, number)
        self._outlines.append(np.asarray(ref.outline, np.float64))
        self._row_of[number] = row
        return row

    def added_outline(self, row: int) -> np.ndarray | None:
        """Outline of a row, flat ``y0, x0, …``, µm."""
        return self._outlines[row]

    def _refs(self, cells: Sequence[int], *, outlines: bool | None = None) -> list[dict[str, Any]]:
        whole = len(cells) <= LONG_LIST if outlines is None else outlines
        return [self._ref(int(cell), outline=whole).to_json() for cell in cells]

    def _ref(self, cell: int, *, outline: bool = True) -> CellRef:
        row = self._row(cell)
        flat = self._outlines[row] if outline else None
        points = () if flat is None else tuple(np.asarray(flat, np.float64).tolist())
        return CellRef(float(self.y_um[row]), float(self.x_um[row]), points, cell, self.results_key)

    def _row(self, cell: int) -> int:
        row = self._row_of.get(int(cell), -1)
        if row < 0:
            raise InputError(f"There is no cell {cell} in this section. Select one that is shown.")
        return row
