"""The sample of an audit: drawn at random, by arm, with known probabilities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fociquant.atomic import write_json
from fociquant.errors import InputError, ResultsError
from fociquant.reading import look_at
from fociquant.review.decisions import CellRef
from fociquant.review.reviewers import CURE, ReviewFolder
from fociquant.review.write_log import utc_now

ACCEPTED, REJECTED, TISSUE = "accepted", "rejected", "tissue"
"""Kinds of items: a counted cell, a candidate that is not counted, a field of tissue."""

KINDS: tuple[Literal["accepted", "rejected", "tissue"], ...] = ("accepted", "rejected", "tissue")

FORMAT = 1
"""Of ``audit.json``."""

Box = tuple[float, float, float, float]

Owner = tuple[str, str, float]
"""Mouse, group and dpi: whose a section is."""


@dataclass(frozen=True, slots=True)
class AuditItem:
    """One thing to look at.

    Parameters
    ----------
    id : str
        ``A0001`` …, in the random order in which they are to be shown.
    kind : {'accepted', 'rejected', 'tissue'}
        Hidden from the reviewer, who must not know what the program thinks.
    section : str
    mouse, group : str
    dpi : float
    probability : float
        With which it was drawn.
    ref : CellRef or None
        The object; None for a field.
    box : tuple of float or None
        (y0, x0, y1, x1) of the field, µm; None for an object.
    area_mm2 : float
        Tissue in the field; 0 for an object.
    outlines : tuple of tuple of float
        Outlines of all candidates in and around the field when it was drawn, flat
        ``y0, x0, …``, µm: what is looked for has none of them. Empty for an object.
    left_out : tuple of tuple of float
        Rings of what is excluded of the field, flat, µm; cells there are not asked for.
    """

    id: str
    kind: Literal["accepted", "rejected", "tissue"]
    section: str
    mouse: str
    group: str
    dpi: float
    probability: float
    ref: CellRef | None = None
    box: Box | None = None
    area_mm2: float = 0.0
    outlines: tuple[tuple[float, ...], ...] = ()
    left_out: tuple[tuple[float, ...], ...] = ()

    @property
    def is_field(self) -> bool:
        """Whether missed cells are to be counted, not one object judged."""
        return self.kind == TISSUE

    @property
    def span_um(self) -> Box:
        """(y0, x0, y1, x1) of the field, or of the object's outline, µm."""
        if self.box is not None:
            return self.box
        if self.ref is None:
            return (0.0, 0.0, 0.0, 0.0)
        points = np.array(self.ref.outline or (self.ref.y_um, self.ref.x_um)).reshape(-1, 2)
        (y0, x0), (y1, x1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return (y0, x0, y1, x1)

    @property
    def centre_um(self) -> tuple[float, float]:
        """(y, x) of its middle, µm."""
        if self.ref is not None:
            return (self.ref.y_um, self.ref.x_um)
        y0, x0, y1, x1 = self.span_um
        return ((y0 + y1) / 2, (x0 + x1) / 2)

    @property
    def question(self) -> str:
        """What the reviewer is asked."""
        if self.kind == TISSUE:
            return "How many cancer cells in this field have no outline?"
        return "Is this object a cancer cell?"


@dataclass(frozen=True, slots=True)
class Stratum:
    """What one kind of one mouse holds: what a sample stands for.

    Parameters
    ----------
    mouse, group : str
    dpi : float
    kind : str
    units : int
        Objects or fields in all.
    area_mm2 : float
        Tissue of all fields; 0 for objects.
    """

    mouse: str
    group: str
    dpi: float
    kind: str
    units: int
    area_mm2: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditDesign:
    """The sample and what it was drawn from.

    Parameters
    ----------
    seed : int
    created : str
        UTC.
    sections : mapping of str to str
        Each section in it to the fingerprint of its results then.
    strata : tuple of Stratum
    items : tuple of AuditItem
        In the order in which they are to be shown.
    images : mapping of str to str
        Each section in it to the fingerprint of its image, followed by its region where it has
        one; empty in what earlier versions drew.
    owners : mapping of str to (str, str, float)
        Each section in it to its mouse, group and dpi then; empty in what earlier versions drew.
    """

    seed: int
    created: str
    sections: Mapping[str, str]
    strata: tuple[Stratum, ...]
    items: tuple[AuditItem, ...]
    images: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, Owner] = field(default_factory=dict)

    def of_section(self, section: str) -> tuple[AuditItem, ...]:
        """Items that lie in one section."""
        return tuple(item for item in self.items if item.section == section)

    @property
    def draw(self) -> str:
        """16 hex digits that tell this draw from every other one: its items are named alike."""
        text = f"{self.seed}|{self.created}|{len(self.items)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


OBJECT_COLUMNS = ("section", "mouse", "group", "dpi", "cell", "y_um", "x_um", "outline", "accepted")
"""Columns of the objects that can be drawn."""

FIELD_COLUMNS = ("section", "mouse", "group", "dpi", "y0_um", "x0_um", "y1_um", "x1_um", "area_mm2")
"""Columns of the fields that can be drawn."""


def draw_audit(
    objects: pd.DataFrame,
    fields: pd.DataFrame,
    *,
    keys: Mapping[str, str],
    sizes: Mapping[str, int],
    seed: int,
    created: str | None = None,
) -> AuditDesign:
    """Draw the sample.

    Within each arm (group and day) and kind, every unit has the same probability. Units
    are sorted by mouse, section and place and drawn at equal distances from a random start
    (systematic sampling), so that each mouse has its share of the sample.

    Parameters
    ----------
    objects : pandas.DataFrame
        `OBJECT_COLUMNS`; ``accepted``: counted now.
    fields : pandas.DataFrame
        `FIELD_COLUMNS`.
    keys : mapping of str to str
        Section to the fingerprint of its results.
    sizes : mapping of str to int
        Kind to the number of items per arm.
    seed : int
    created : str, optional
        UTC; default now.

    Returns
    -------
    AuditDesign

    Raises
    ------
    InputError
        There is nothing to draw from.
    """
    if not len(objects) and not len(fields):
        raise InputError("There is neither a candidate nor tissue to audit. Count a study first.")
    rng = np.random.default_rng(seed)
    strata: list[Stratum] = []
    items: list[AuditItem] = []
    frames = {
        ACCEPTED: objects[objects["accepted"].to_numpy(bool)],
        REJECTED: objects[~objects["accepted"].to_numpy(bool)],
        TISSUE: fields,
    }
    for kind in KINDS:
        for _, arm in frames[kind].groupby(["dpi", "group"], sort=True):
            strata += _strata(arm, kind)
            items += _draw(arm, kind, sizes.get(kind, 0), keys, rng)
    order = rng.permutation(len(items))
    width = max(4, len(str(len(items))))
    shown = tuple(
        replace(items[i], id=f"A{number:0{width}d}") for number, i in enumerate(order, start=1)
    )
    return AuditDesign(seed, created or utc_now(), dict(keys), tuple(strata), shown)


def _strata(arm: pd.DataFrame, kind: str) -> list[Stratum]:
    strata = []
    for (mouse, group, dpi), own in arm.groupby(["mouse", "group", "dpi"], sort=True):
        area = float(own["area_mm2"].sum()) if kind == TISSUE else 0.0
        strata.append(Stratum(str(mouse), str(group), float(str(dpi)), kind, len(own), area))
    return strata


def _draw(
    arm: pd.DataFrame,
    kind: Literal["accepted", "rejected", "tissue"],
    size: int,
    keys: Mapping[str, str],
    rng: np.random.Generator,
) -> list[AuditItem]:
    place = ["y0_um", "x0_um"] if kind == TISSUE else ["y_um", "x_um"]
    frame = arm.sort_values(["mouse", "section", *place], kind="stable")
    n = min(size, len(frame))
    if n == 0:
        return []
    step = len(frame) / n
    chosen = np.minimum((rng.uniform(0, step) + step * np.arange(n)).astype(int), len(frame) - 1)
    return [
        _item(row, kind, n / len(frame), keys)
        for row in frame.iloc[chosen].to_dict(orient="records")
    ]


def _item(
    row: Mapping[Any, Any],
    kind: Literal["accepted", "rejected", "tissue"],
    probability: float,
    keys: Mapping[str, str],
) -> AuditItem:
    section = str(row["section"])
    item = AuditItem(
        "", kind, section, str(row["mouse"]), str(row["group"]), float(row["dpi"]), probability
    )
    if kind == TISSUE:
        y0, x0, y1, x1 = (float(row[name]) for name in ("y0_um", "x0_um", "y1_um", "x1_um"))
        return replace(item, box=(y0, x0, y1, x1), area_mm2=float(row["area_mm2"]))
    outline = tuple(float(v) for v in np.asarray(row["outline"], np.float64))
    ref = CellRef(float(row["y_um"]), float(row["x_um"]), outline, int(row["cell"]),
                  keys.get(section, ""))  # fmt: skip
    return replace(item, ref=ref)


def write_design(results: Path, design: AuditDesign) -> Path:
    """Store the design as ``review/audit.json``.

    Raises
    ------
    DiskError
    """
    path = ReviewFolder(results).audit
    items = []
    for item in design.items:
        content = {k: v for k, v in asdict(item).items() if v not in (None, "", ())}
        if item.ref is not None:
            content["ref"] = item.ref.to_json()
        items.append(content)
    write_json(path, {
        "format": FORMAT, "seed": design.seed, "created": design.created,
        "sections": dict(design.sections), "images": dict(design.images),
        "owners": {name: list(owner) for name, owner in design.owners.items()},
        "strata": [asdict(one) for one in design.strata], "items": items,
    }, cure=CURE)  # fmt: skip
    return path


def read_design(results: Path) -> AuditDesign | None:
    """The stored design; None where no audit was drawn.

    Raises
    ------
    UnreadableError
        The drive does not let ``audit.json`` be read.
    ResultsError
        It is damaged or of a newer version.
    """
    path = ReviewFolder(results).audit
    text = look_at(path, Path.read_bytes)
    if text is None:
        return None
    try:
        content = json.loads(text.decode("utf-8"))
    except ValueError as error:
        raise ResultsError(f"{path} cannot be read ({error}). Restore it from a copy.") from error
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        return AuditDesign(
            int(content["seed"]), str(content["created"]), dict(content["sections"]),
            tuple(Stratum(**one) for one in content["strata"]),
            tuple(_item_from_json(one) for one in content["items"]),
            dict(content.get("images", {})),
            {str(name): owner_named(*one) for name, one in dict(content.get("owners", {})).items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path} is damaged or of another version ({error}). Restore it from a copy, or "
            "draw again."
        ) from error


def owner_named(mouse: object, group: object, dpi: Any) -> Owner:
    """Whose a section is, of what a table, a sheet or a file says."""
    return str(mouse), str(group), float(dpi)


def _item_from_json(content: Mapping[str, Any]) -> AuditItem:
    fields = dict(content)
    if "ref" in fields:
        fields["ref"] = CellRef.from_json(fields["ref"])
    if "box" in fields:
        y0, x0, y1, x1 = (float(value) for value in fields["box"])
        fields["box"] = (y0, x0, y1, x1)
    for name in ("outlines", "left_out"):
        rings = fields.get(name, ())
        fields[name] = tuple(tuple(float(value) for value in ring) for ring in rings)
    return AuditItem(**fields)
