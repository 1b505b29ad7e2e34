"""Facts of a section as JSON, and back: what ``section.json`` holds beside its key."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fociquant.model import ChannelStats, FieldSteps, MarkerMap, SectionFacts, Shading, Unmixing
from fociquant.units import PixelSize


def facts_to_json(facts: SectionFacts) -> dict[str, Any]:
    """The facts as plain values; the inverse of :func:`facts_of`."""
    return {
        "stats": {role: _stats_to_json(stats) for role, stats in facts.stats.items()},
        "tissue_mm2": facts.tissue_mm2,
        "parenchyma_mm2": facts.parenchyma_mm2,
        "artefact_mm2": facts.artefact_mm2,
        "autofluorescence_slope": facts.autofluorescence_slope,
        "pigment_slope": facts.pigment_slope,
        "overview_pixel_um": [facts.overview_px.y, facts.overview_px.x],
        "masks": masks_to_json(_masks(facts)),
        "marker_map": _map_to_json(facts.marker_map),
        "shading": {role: _shading_to_json(one) for role, one in facts.shading.items()},
        "unmixing": None if facts.unmixing is None else asdict(facts.unmixing),
        "field_steps": None if facts.field_steps is None else asdict(facts.field_steps),
    }


def scale_key(
    stats: Mapping[str, ChannelStats],
    shading: Mapping[str, Shading],
    unmixing: Unmixing | None,
) -> str:
    """What the network's input and the measurements depend on of a section's facts; hex."""
    content = {
        "stats": {role: _stats_to_json(one) for role, one in stats.items()},
        "shading": {role: _shading_to_json(one) for role, one in shading.items()},
        "unmixing": None if unmixing is None else asdict(unmixing),
    }
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def stats_of(state: Mapping[str, Any]) -> dict[str, ChannelStats]:
    """Only the statistics of the channels, by role: masks stay as they are stored."""
    return {role: _stats_from_json(stats) for role, stats in state["stats"].items()}


NEEDED = (
    "stats", "masks", "tissue_mm2", "parenchyma_mm2", "overview_pixel_um", "pixel_size_um",
    "analysis_pixel_um", "image_shape_px", "seams",
)  # fmt: skip
"""Entries of a counted section's state without which it says nothing."""


def is_whole(state: Mapping[str, Any]) -> bool:
    """Whether the state of a counted section has all its entries; what is in them is not read."""
    has_slope = "autofluorescence_slope" in state  # None: it explains nothing
    return has_slope and all(state.get(name) is not None for name in NEEDED)


def facts_of(state: Mapping[str, Any]) -> SectionFacts:
    """The facts stored in a section's state.

    Raises
    ------
    KeyError, TypeError, ValueError
        If an entry is missing or damaged.
    """
    masks = masks_from_json(state["masks"])
    return SectionFacts(
        stats=stats_of(state),
        tissue_mm2=float(state["tissue_mm2"]),
        parenchyma_mm2=float(state["parenchyma_mm2"]),
        artefact_mm2=float(state.get("artefact_mm2", 0.0)),
        outline=masks["outline"],
        artefact=masks["artefact"],
        lumen=masks.get("lumen"),
        region=masks.get("region"),
        overview_px=PixelSize(*state["overview_pixel_um"]),
        autofluorescence_slope=state["autofluorescence_slope"],
        pigment_slope=state.get("pigment_slope"),
        marker_map=_map_from_json(state.get("marker_map")),
        shading={
            role: _shading_from_json(one) for role, one in (state.get("shading") or {}).items()
        },
        unmixing=Unmixing(**state["unmixing"]) if state.get("unmixing") else None,
        field_steps=_steps_from_json(state.get("field_steps")),
    )


def _masks(facts: SectionFacts) -> dict[str, np.ndarray]:
    found = {
        "outline": facts.outline, "artefact": facts.artefact, "lumen": facts.lumen,
        "region": facts.region,
    }  # fmt: skip
    return {name: mask for name, mask in found.items() if mask is not None}


def _stats_to_json(stats: ChannelStats) -> dict[str, float | None]:
    values = {name: float(getattr(stats, name)) for name in ChannelStats.__slots__}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _stats_from_json(stats: Mapping[str, float | None]) -> ChannelStats:
    # Only the saturation of float images has no finite value.
    return ChannelStats(**{k: math.inf if v is None else v for k, v in stats.items()})


def _shading_to_json(found: Shading) -> dict[str, Any]:
    return {
        "period_px": list(found.period_px),
        "origin_px": list(found.origin_px),
        "terms": list(found.terms),
        "dark": found.dark,
        "top": found.top if math.isfinite(found.top) else None,
        "loss": found.loss,
        "corrected": found.corrected,
    }


def _shading_from_json(content: Mapping[str, Any]) -> Shading:
    (py, px), (oy, ox) = content["period_px"], content["origin_px"]
    return Shading(
        period_px=(float(py), float(px)),
        origin_px=(float(oy), float(ox)),
        terms=tuple(float(term) for term in content["terms"]),
        dark=float(content["dark"]),
        top=math.inf if content["top"] is None else float(content["top"]),
        loss=float(content["loss"]),
        corrected=bool(content["corrected"]),
    )


def _steps_from_json(content: Mapping[str, Any] | None) -> FieldSteps | None:
    if content is None:
        return None
    (py, px), (oy, ox) = content["period_px"], content["origin_px"]
    return FieldSteps(
        period_px=(float(py), float(px)),
        origin_px=(float(oy), float(ox)),
        borders=int(content["borders"]),
        percent={role: float(value) for role, value in content["percent"].items()},
        tissue_percent={role: float(value) for role, value in content["tissue_percent"].items()},
    )


def _map_to_json(found: MarkerMap | None) -> dict[str, Any] | None:
    """Values as deflated bytes in base64: most of a map is nearly zero."""
    if found is None:
        return None
    packed = zlib.compress(np.ascontiguousarray(found.peaks, np.uint8).tobytes(), 6)
    return {
        "shape": list(found.peaks.shape),
        "peaks": base64.b64encode(packed).decode("ascii"),
        "edge_um": list(found.edge_um),
    }


def _map_from_json(content: Mapping[str, Any] | None) -> MarkerMap | None:
    if content is None:
        return None
    height, width = (int(side) for side in content["shape"])
    unpacker = zlib.decompressobj()
    try:  # no more than the shape allows, whatever the text claims
        raw = unpacker.decompress(base64.b64decode(content["peaks"]), height * width + 1)
    except zlib.error as error:
        raise ValueError(f"the marker map cannot be unpacked: {error}") from error
    y, x = content["edge_um"]
    peaks = np.frombuffer(raw, np.uint8).reshape(height, width)
    return MarkerMap(peaks, (float(y), float(x)))


def masks_to_json(masks: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Boolean overview masks as run lengths: ``{"shape": [h, w], "runs": [false, true, …]}``."""
    out: dict[str, Any] = {}
    for name, mask in masks.items():
        flat = np.concatenate([[False], mask.ravel().astype(bool)])
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate([[0], edges, [mask.size]]))
        out[name] = {"shape": list(mask.shape), "runs": [int(run) for run in runs]}
    return out


def masks_from_json(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inverse of :func:`masks_to_json`."""
    masks = {}
    for name, entry in content.items():
        values = np.arange(len(entry["runs"])) % 2 == 1
        masks[name] = np.repeat(values, entry["runs"]).reshape(entry["shape"])
    return masks
