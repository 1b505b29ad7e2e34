"""Lumens, the lung's edge, and where points lie."""

from __future__ import annotations

import numpy as np
import pytest

from fociquant.model import SectionFacts
from fociquant.prepare import locate
from fociquant.prepare.compartments import find_lumens
from fociquant.units import PixelSize

FINE = PixelSize.square(2.0)


def disc(shape, cy, cx, r):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - cy, x - cx) < r


def lung(lining_px):
    """Alveoli of 60 µm between thin septa, and an airway of 120 µm with a lining."""
    shape = (300, 300)
    y, x = np.mgrid[: shape[0], : shape[1]]
    tissue = (y % 30 < 2) | (x % 30 < 2)
    airway = disc(shape, 150, 150, 30)
    tissue |= disc(shape, 150, 150, 30 + lining_px)
    return np.ones(shape, bool), tissue & ~airway, airway


def test_an_airway_is_a_lumen_and_alveoli_are_not():
    outline, tissue, airway = lung(8)
    found = find_lumens(outline, tissue, FINE)
    assert (found & airway).sum() > 0.95 * airway.sum()
    assert not (found & ~airway).any()


def test_a_wide_hole_without_lining_is_no_lumen():
    outline, tissue, _ = lung(1)
    assert not find_lumens(outline, tissue, FINE).any()


@pytest.mark.parametrize("value", [True, False])
def test_no_lumen_without_air_or_without_tissue(value):
    mask = np.full((20, 30), value)
    assert not find_lumens(mask, mask, FINE).any()


def facts(outline, lumen=None):
    return SectionFacts(
        stats={}, tissue_mm2=1.0, parenchyma_mm2=1.0, outline=outline,
        artefact=np.zeros_like(outline), overview_px=PixelSize.square(10.0), lumen=lumen,
    )  # fmt: skip


def test_points_get_their_compartment_and_distances():
    outline = np.zeros((100, 100), bool)
    outline[:, 20:] = True
    lumen = disc(outline.shape, 50, 60, 5)
    points = np.array([[500, 600], [500, 520], [500, 210], [500, 800], [500, 100]], float)
    found = locate(points, facts(outline, lumen), edge_band_um=50.0, lumen_band_um=40.0)
    assert list(found["compartment"]) == ["lumen", "lumen", "edge", "parenchyma", "outside"]
    assert found["edge_um"].to_numpy() == pytest.approx([400, 320, 10, 600, -100], abs=10)
    assert found["lumen_um"].to_numpy() == pytest.approx([0, 30, 340, 150, 450], abs=12)


def test_without_an_edge_or_a_lumen_in_the_image_there_is_no_distance():
    found = locate(np.array([[5.0, 5.0]]), facts(np.ones((9, 9), bool)), edge_band_um=50,
                   lumen_band_um=30)  # fmt: skip
    assert found["compartment"].tolist() == ["parenchyma"]
    assert found[["edge_um", "lumen_um"]].isna().all(axis=None)


def test_no_points():
    found = locate(np.empty((0, 2)), facts(np.ones((9, 9), bool)), edge_band_um=1, lumen_band_um=1)
    assert len(found) == 0
    assert list(found.columns) == ["compartment", "edge_um", "lumen_um"]
