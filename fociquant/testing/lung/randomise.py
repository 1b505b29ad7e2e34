"""Domain randomisation: recipes over the whole range that a scan may meet, and beyond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fociquant.testing.lung.recipe import (
    Artefacts,
    Camera,
    CellLook,
    Light,
    LungRecipe,
    TissueLook,
)

MIN_SNR = 3.0
"""Membrane over the noise of the tissue below it; dimmer cells cannot be outlined by anyone."""


DIM_FRACTION = 0.25
"""Recipes of the hardest kind: cells hardly brighter than the tissue, solid and blurred."""

HAZE_FRACTION = 0.3
"""Other recipes with light from out of focus."""


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return float(low * (high / low) ** rng.random())


def _flat(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def draw_recipe(rng: np.random.Generator, infected: bool | None = None) -> LungRecipe:
    """A random recipe: brightness over two decades, every look of marker and tissue.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    infected : bool, optional
        Whether tissue is consolidated; default drawn, every other one.

    Returns
    -------
    LungRecipe
        With the marker at least :data:`MIN_SNR` above the noise.
    """
    if infected is None:
        infected = bool(rng.random() < 0.5)
    tissue = _tissue(rng, infected=infected)
    light = _light(rng, tissue)
    recipe = LungRecipe(
        tissue=tissue,
        cells=_cells(rng),
        light=light,
        camera=_camera(rng, _brightest(light, tissue)),
        artefacts=_artefacts(rng),
    )
    kind = rng.random()
    # Drawn from the numbers of `kind`, so that what was drawn so far stays as it was.
    border = max(0.0, 1.6 * (kind * 977.0 % 1.0) - 0.6)
    recipe = replace(recipe, light=replace(light, marker_epithelium_border=border))
    if kind < DIM_FRACTION:
        return _dim(rng, recipe)
    return _hazy(rng, recipe) if kind < DIM_FRACTION + HAZE_FRACTION else recipe


def _hazy(rng: np.random.Generator, recipe: LungRecipe) -> LungRecipe:
    haze, width = _flat(rng, 0.05, 0.35), _log(rng, 2.5, 8.0)
    return replace(recipe, camera=replace(recipe.camera, haze=haze, haze_um=width))


def _dim(rng: np.random.Generator, recipe: LungRecipe) -> LungRecipe:
    """Cells of 0.8-3 times the tissue's level in the marker channel, most of them solid."""
    recipe = _hazy(rng, recipe)
    light, camera, cells = recipe.light, recipe.camera, recipe.cells
    spectrum = light.tissue_spectrum
    level = light.tissue_af_e * spectrum[0] + light.marker_unspecific_e
    wanted = light.marker_e / _log(rng, 0.8, 3.0)
    noise_floor = (light.marker_e / (1.5 * MIN_SNR)) ** 2
    factor = min(wanted, noise_floor) / max(level, 1e-3)
    # Unevenness must leave the marker visible here as well.
    texture = min(recipe.tissue.texture, 0.2)
    spectrum = (spectrum[0] * factor, *spectrum[1:])
    if rng.random() < 0.7:
        cells = replace(
            cells, membrane=_flat(rng, 0.0, 0.5), cytoplasm=_flat(rng, 0.6, 1.0),
            puncta=_flat(rng, 0.0, 0.2), brightness_cv=_log(rng, 0.08, 0.3),
        )  # fmt: skip
    psf = (_log(rng, 0.4, 0.9), *camera.psf_um[1:])
    light = replace(
        light, tissue_spectrum=spectrum, marker_unspecific_e=light.marker_unspecific_e * factor
    )
    gain = camera.counts_per_e[0] * min(1.0, 1.0 / (0.4 + 0.6 * factor))
    counts = (gain, *camera.counts_per_e[1:])
    return replace(
        recipe, light=light, cells=cells, tissue=replace(recipe.tissue, texture=texture),
        camera=replace(camera, psf_um=psf, counts_per_e=counts),
    )  # fmt: skip


def _tissue(rng: np.random.Generator, *, infected: bool) -> TissueLook:
    consolidated = _flat(rng, 0.15, 1.0) if infected else 0.0
    return TissueLook(
        alveolus_um=_log(rng, 26, 85),
        septum_um=_log(rng, 2.5, 9) * (1.25 if infected else 1),
        septum_gap_fraction=_flat(rng, 0.0, 0.45),
        warp_um=_flat(rng, 5, 36),
        consolidated_fraction=consolidated,
        consolidated_patch_um=_log(rng, 90, 500),
        consolidated_gain=_flat(rng, 0.7, 3.0),
        nucleus_um=_flat(rng, 5.0, 8.5),
        septal_nucleus_spacing_um=_log(rng, 7.5, 20),
        parenchymal_nucleus_spacing_um=_log(rng, 7.0, 14),
        airway_spacing_um=_log(rng, 260, 900),
        airway_probability=_flat(rng, 0.1, 0.8),
        airway_radius_um=_log(rng, 30, 120),
        epithelium_um=_flat(rng, 9, 20),
        vessel_spacing_um=_log(rng, 110, 300),
        vessel_probability=_flat(rng, 0.1, 0.8),
        vessel_radius_um=_log(rng, 8, 32),
        red_cell_fill=_flat(rng, 0.0, 1.0),
        macrophages_per_mm2=_log(rng, 5, 400),
        macrophages_per_mm2_consolidated=_log(rng, 30, 900),
        macrophage_um=_flat(rng, 10, 19),
        elastin_per_mm2=_log(rng, 20, 600),
        host_ki67_fraction=_flat(rng, 0, 0.03),
        host_ki67_fraction_consolidated=_flat(rng, 0, 0.25),
        texture=_flat(rng, 0.08, 0.5),
    )


def _cells(rng: np.random.Generator) -> CellLook:
    """Membrane ring (half of the draws), cytoplasm, cap, or puncta."""
    kind = rng.choice(4, p=(0.5, 0.2, 0.15, 0.15))
    membrane = (
        _flat(rng, 0.7, 1.0),
        _flat(rng, 0.0, 0.35),
        _flat(rng, 0.7, 1.0),
        _flat(rng, 0.1, 0.6),
    )
    cytoplasm = (
        _flat(rng, 0.02, 0.45),
        _flat(rng, 0.6, 1.0),
        _flat(rng, 0.05, 0.4),
        _flat(rng, 0.1, 0.5),
    )
    puncta = (
        _flat(rng, 0.0, 0.25),
        _flat(rng, 0.0, 0.25),
        _flat(rng, 0, 0.2),
        _flat(rng, 0.25, 0.6),
    )
    return CellLook(
        diameter_um=_flat(rng, 9.5, 17),
        diameter_cv=_flat(rng, 0.04, 0.24),
        irregularity=_log(rng, 0.02, 0.26),
        elongation=_log(rng, 0.02, 0.30),
        roughness=_flat(rng, 0.0, 0.07),
        packing=_flat(rng, 0.74, 0.98),
        nucleus_fraction=_flat(rng, 0.42, 0.74),
        nucleus_missing_fraction=_flat(rng, 0.0, 0.08),
        membrane_um=_log(rng, 0.4, 1.8),
        membrane=membrane[kind],
        cytoplasm=cytoplasm[kind],
        puncta=puncta[kind],
        cap=_flat(rng, 0.6, 1.1) if kind == 2 else _flat(rng, 0.0, 0.45),
        brightness_cv=_log(rng, 0.08, 0.55),
        ki67_fraction=_flat(rng, 0.0, 0.9),
    )


def _light(rng: np.random.Generator, tissue: TissueLook) -> Light:
    """Marker from 25 to 4000 photo-electrons; autofluorescence in it from none to more than it.

    Bright tissue is fine, but its unevenness must leave the marker visible.
    """
    marker = _log(rng, 25, 4000)
    uneven = 0.6 * tissue.texture * max(1.0, tissue.consolidated_gain)
    in_marker = (
        min(_log(rng, 0.015, 1.3), 1 / (MIN_SNR * uneven), 1.6 / max(1.0, tissue.consolidated_gain))
        * marker
    )
    bright_in_marker = in_marker * _log(rng, 0.8, 8)
    share = _log(rng, 0.15, 1.5)
    glass = [_log(rng, 2, 40) for _ in range(4)]
    glass[0] = marker * _log(rng, 0.004, 0.25)
    noise = np.sqrt(in_marker + glass[0] + 20.0)
    marker = max(marker, MIN_SNR * float(noise), 25.0)
    nucleus = _log(rng, 60, 3000)
    bleed = np.eye(4) + rng.random((4, 4)) ** 3 * 0.08 * (1 - np.eye(4))
    bleed[0, 1] = rng.random() ** 3 * 0.35 * marker / nucleus
    return Light(
        marker_e=marker,
        marker_unspecific_e=in_marker * _flat(rng, 0.0, 0.6),
        marker_epithelium_e=marker * rng.random() ** 2 * 0.9 * (rng.random() < 0.6),
        nucleus_e=nucleus,
        cell_nucleus_gain=_log(rng, 0.45, 1.8),
        ki67_e=_log(rng, 40, 2000),
        ki67_unspecific_e=_log(rng, 2, 60),
        tissue_af_e=in_marker / share,
        bright_af_e=bright_in_marker / share,
        tissue_spectrum=(share, _log(rng, 0.02, 0.6), 1.0, _log(rng, 0.05, 0.8)),
        bright_spectrum=(
            share * _log(rng, 0.4, 1.6),
            _log(rng, 0.02, 0.5),
            1.0,
            _log(rng, 0.1, 1.2),
        ),
        bleed=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in bleed),
        glass_e=(glass[0], glass[1], glass[2], glass[3]),
    )


def _brightest(light: Light, tissue: TissueLook) -> list[float]:
    """About the light of the brightest things in each channel, photo-electrons."""
    own = (light.marker_e, light.nucleus_e, 0.0, light.ki67_e)
    return [
        own[k]
        + light.tissue_af_e * light.tissue_spectrum[k] * max(1.0, 0.7 * tissue.consolidated_gain)
        + 0.4 * light.bright_af_e * light.bright_spectrum[k]
        + light.glass_e[k]
        for k in range(4)
    ]


def _camera(rng: np.random.Generator, brightest: list[float]) -> Camera:
    """Exposure set per channel: the brightest things fill 1-120 % of the range."""
    psf = [_log(rng, 0.2, 0.9) for _ in range(4)]
    bits = int(rng.choice((8, 12, 16), p=(0.25, 0.25, 0.5)))
    least = {8: 0.2, 12: 0.06, 16: 0.01}[bits]
    full = 2**bits - 1
    per_e = [full * _log(rng, least, 1.2) / light for light in brightest]
    return Camera(
        psf_um=(psf[0], psf[1], psf[2], psf[3]),
        shading=_flat(rng, 0.0, 0.45),
        field_px=int(rng.integers(400, 2600)),
        gain_step=_log(rng, 0.002, 0.06),
        read_noise_e=_log(rng, 1, 8),
        counts_per_e=(per_e[0], per_e[1], per_e[2], per_e[3]),
        offset_counts=_flat(rng, 0, 12) if bits == 8 else _log(rng, 20, 0.1 * full),
        bits=bits,
    )


def _artefacts(rng: np.random.Generator) -> Artefacts:
    return Artefacts(
        debris_per_mm2=_log(rng, 0.2, 8),
        folds_per_mm2=_log(rng, 0.5, 6) if rng.random() < 0.15 else 0.0,
        fold_width_um=_log(rng, 12, 60),
        out_of_focus_per_mm2=_log(rng, 1, 8) if rng.random() < 0.12 else 0.0,
        out_of_focus_radius_um=_log(rng, 40, 140),
        out_of_focus_sigma_um=_flat(rng, 1.0, 2.4),
    )
