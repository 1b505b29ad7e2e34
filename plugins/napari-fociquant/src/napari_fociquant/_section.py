"""One section under review: what is drawn, listed and counted of it, without a window."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np
from skimage.draw import polygon2mask

from fociquant.errors import InputError
from fociquant.io import SectionImage
from fociquant.model import Box, SectionFacts
from fociquant.review import ACCEPTED, REJECTED, ReviewSession, queue_rows
from fociquant.settings import FociProfile, ReviewSettings, score_asked_for
from fociquant.units import PixelSize
from napari_fociquant._colours import Shown, role_colours
from napari_fociquant._crops import CropReader
from napari_fociquant._foci import Focus, Snapshot, list_foci, rings_of
from napari_fociquant._layers import contrast
from napari_fociquant._looks import Looks
from napari_fociquant._picture import Outlines
from napari_fociquant._results import Results
from napari_fociquant._segment import WINDOW_UM, Clicked, outline_at

REACH_UM = 15.0
"""A click means the cell whose centre is nearest, at most so far away, µm."""


class OpenSection:
    """A section that is open, with the decisions of one reviewer.

    Parameters
    ----------
    results : Results
    session : ReviewSession
    image : SectionImage or None
        None if it could not be found: objects can be reviewed by their places alone.
    code : str
        What the section is called in the window.
    seed : int
        Of the study; decides which candidates are shown a second time.

    Attributes
    ----------
    outlines : Outlines
        Of the session's rows.
    foci : list of Focus
        As last found, see :func:`~napari_fociquant._foci.foci_of`. At first those of the tables,
        or none if these hold other decisions than this reviewer's.
    rings : Outlines
        Drawn round them.
    """

    def __init__(
        self,
        results: Results,
        session: ReviewSession,
        image: SectionImage | None,
        code: str,
        *,
        seed: int = 0,
    ) -> None:
        self.results, self.session, self.image, self.code = results, session, image, code
        self.name, self._seed = session.section, seed
        self.facts: SectionFacts = results.facts(self.name)
        self.pixel: PixelSize = results.pixel_size(self.name)
        self.shape = results.shape(self.name)
        self.profile = FociProfile.model_validate(results.record["profile"])
        self.link_um = float(results.record["settings"]["foci"]["link_um"])
        self.outlines = self._outlines()
        self.foci: list[Focus] = self._stored_foci() if self.foci_are_stored else []
        self._numbered: list[Focus] | None = None
        self._numbers: Counter[str] = Counter()
        self.rings = rings_of(self.foci, self.outlines, results.classes)

    def _outlines(self) -> Outlines:
        """Of all rows: the candidates' at once, those of added cells one by one."""
        lists = [[] if one is None else one for one in self.session.cells["outline"].tolist()]
        flat = np.concatenate([np.zeros(0, np.float32), *lists]).astype(np.float32)
        ends = np.cumsum([len(one) // 2 for one in lists], dtype=np.int64)
        added = self.session.cell[len(lists) :].tolist()
        candidates = Outlines(flat, ends, np.zeros(len(ends), np.uint8))
        return candidates.extended([self._flat(cell) for cell in added], self.codes())

    def codes(self) -> np.ndarray:
        """How each row is drawn now: values of :class:`Shown`, uint8."""
        session = self.session
        out = np.where(session.positive, Shown.COUNTED, Shown.CANDIDATE).astype(np.uint8)
        out[session.verdict == ACCEPTED] = Shown.ACCEPTED
        out[session.verdict == REJECTED] = Shown.REJECTED
        out[session.added & (session.verdict != REJECTED)] = Shown.ADDED
        out[session.excluded] = Shown.EXCLUDED
        out[~session.exists] = Shown.NOTHING
        return out

    def _flat(self, cell: int) -> np.ndarray:
        return self.session.outline(cell).astype(np.float32)

    def refresh_cells(self) -> bool:
        """Bring the picture up to date; True if rows are new, so that it is another object."""
        new = self.session.cell[len(self.outlines.ends) :].tolist()
        codes = self.codes()
        if not new:
            self.outlines.codes[:] = codes
            return False
        self.outlines = self.outlines.extended([self._flat(cell) for cell in new], codes)
        return True

    def row_at(self, y_um: float, x_um: float) -> int | None:
        """The row of the cell nearest to a place; None if there is none within reach."""
        session = self.session
        squared = (session.y_um - y_um) ** 2 + (session.x_um - x_um) ** 2
        squared = np.where(session.exists, squared, np.inf)
        if not len(squared) or squared.min() > REACH_UM**2:
            return None
        return int(squared.argmin())

    def row_of(self, cell: int) -> int:
        """The row of a cell by its number; -1 if there is none."""
        session = self.session
        rows = np.flatnonzero((session.cell == cell) & session.exists)
        return int(rows[0]) if len(rows) else -1

    @property
    def threshold(self) -> float:
        """Logit at which the gate becomes sure."""
        gate = self.results.record["settings"]["gate"]
        return score_asked_for(
            float(gate["min_score"]),
            float(gate["without_autofluorescence_min_score"]),
            autofluorescence="autofluorescence" in self.results.channel_names,
        )

    @property
    def repeat_share(self) -> float:
        """Share of the candidates that are shown a second time, alike in every section."""
        stored = self.results.record["settings"].get("review", {})
        return float(stored.get("repeat_share", ReviewSettings().repeat_share))

    @cached_property
    def looks(self) -> Looks:
        """Most doubtful first, some of them a second time; the same whenever it is opened."""
        rows, again = queue_rows(
            self.session.cells[["cell", "score", "flags"]], threshold=self.threshold,
            repeat_share=self.repeat_share, seed=self._seed + self.number,
        )  # fmt: skip
        return Looks(rows, again)

    @property
    def number(self) -> int:
        """Number of the section in the study, from 0."""
        return [one["name"] for one in self.results.record["sections"]].index(self.name)

    def snapshot(self) -> Snapshot:
        """What foci depend on, now."""
        session = self.session
        return Snapshot(
            session.cell.copy(), session.y_um.copy(), session.x_um.copy(),
            session.positive.copy(), self.outlines, tuple(session.focus_edits),
        )  # fmt: skip

    def _stored_foci(self) -> list[Focus]:
        cells = self.session.cells
        numbers = cells["focus"].to_numpy(np.int64)
        return list_foci(self.results.foci(self.name), numbers, np.arange(len(cells)))

    @property
    def foci_are_stored(self) -> bool:
        """Whether the stored foci still hold: what counts is what was counted then."""
        counted = self.session.cells["positive"].to_numpy(bool)
        here = self.session.positive
        same = len(here) == len(counted) and bool((here == counted).all())
        return same and not self.session.focus_edits

    @property
    def found(self) -> Counter[str]:
        """Foci of each class; counted once for each search, as a hundred thousand take a while."""
        if self._numbered is not self.foci:
            self._numbered = self.foci
            self._numbers = Counter(focus.kind for focus in self.foci)
        return self._numbers

    def focus_at(self, row: int) -> Focus | None:
        """The focus that holds a cell."""
        return next((focus for focus in self.foci if row in focus.rows), None)

    def outline_at(self, y_um: float, x_um: float) -> Clicked:
        """The outline of a cell that was missed, from a click on it.

        Raises
        ------
        InputError
            The click is outside the image.
        ImageError
            The pixels cannot be read.
        """
        height, width = (n * um for n, um in zip(self.shape, self._pixel_yx, strict=True))
        if not (0 <= y_um < height and 0 <= x_um < width):
            raise InputError("That place is outside the image. Click on a cell.")
        diameter = float(self.results.record["settings"]["segment"]["diameter_um"])
        pixels, origin = self._window(y_um - WINDOW_UM / 2, x_um - WINDOW_UM / 2, WINDOW_UM)
        marker = pixels[list(self.roles).index("marker")] if len(pixels) else np.zeros((4, 4))
        return outline_at(marker, origin, self.pixel, (y_um, x_um), diameter_um=diameter)

    def measured(self, outline: np.ndarray) -> dict[str, float]:
        """Mean of each channel over an outline; empty without an image."""
        if self.image is None:
            return {}
        low, high = outline.min(axis=0), outline.max(axis=0)
        pixels, origin = self._window(low[0] - 2, low[1] - 2, float((high - low).max()) + 4)
        places = (outline - origin) / self._pixel_yx - 0.5
        mask = polygon2mask(pixels.shape[1:], places)
        if not mask.any():
            return {}
        names = self.results.channel_names
        return {
            f"{names[role]}_mean": float(plane[mask].mean())
            for role, plane in zip(self.roles, pixels, strict=True)
        }

    @property
    def _pixel_yx(self) -> tuple[float, float]:
        return self.pixel.y, self.pixel.x

    def _window(
        self, y_um: float, x_um: float, edge_um: float
    ) -> tuple[np.ndarray, tuple[float, float]]:
        """Pixels of all roles in a square, cut at the image's border, and its corner in µm."""
        py, px = self._pixel_yx
        y0, x0 = int(y_um / py), int(x_um / px)
        box = Box(y0, x0, y0 + int(edge_um / py) + 1, x0 + int(edge_um / px) + 1)
        box = Box(max(box.y0, 0), max(box.x0, 0), max(box.y1, 1), max(box.x1, 1))
        box = box.intersect(Box.of_shape(self.shape))
        pixels = np.zeros((0, *box.shape))
        if self.image is not None:
            pixels = self.image.read(box, list(self.roles.values()))
        return pixels, (box.y0 * py, box.x0 * px)

    @cached_property
    def roles(self) -> dict[str, int]:
        """Role to index of its channel in the image; empty without an image."""
        if self.image is None:
            return {}
        names = self.results.channel_names
        return {role: self.image.channel_index(name) for role, name in names.items()}

    @cached_property
    def crops(self) -> CropReader | None:
        """Reads crops; None without an image."""
        if self.image is None:
            return None
        return CropReader(self.image, list(self.roles.values()), self.pixel)

    @cached_property
    def limits(self) -> list[tuple[float, float]]:
        """Contrast of each role."""
        return [contrast(self.facts.stats[role]) for role in self.roles]

    @cached_property
    def colours(self) -> list[str]:
        """Colour of each role."""
        return list(role_colours(self.roles).values())

    def close(self) -> None:
        """Close log and image."""
        self.session.close()
        if self.image is not None:
            self.image.close()
