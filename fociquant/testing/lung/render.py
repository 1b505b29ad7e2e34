"""Tissue, host and cancer cells together on one canvas: light per channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fociquant.testing.lung import host, optics
from fociquant.testing.lung.artefacts import focus_loss, folded
from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.cells import Cells, Stain, draw_cells, stain
from fociquant.testing.lung.epithelium import lining_marker
from fociquant.testing.lung.noise import noise_grid, sub_seed, texture_window
from fociquant.testing.lung.recipe import CellLook, LungRecipe
from fociquant.testing.lung.shapes import rasterise
from fociquant.testing.lung.tissue import Tissue, TissueMaps

MARGIN_UM = 13.0
"""Objects drawn by their centre reach no further than this."""


@dataclass(frozen=True)
class Drawn:
    """One canvas, before the camera.

    Parameters
    ----------
    electrons : numpy.ndarray of float32, shape (4, h, w)
        Mean photo-electrons.
    macrophages : numpy.ndarray of bool, shape (h, w)
        Pixels of cell-like autofluorescent macrophages.
    """

    electrons: np.ndarray
    macrophages: np.ndarray


def margin_um(recipe: LungRecipe, px_um: float) -> float:
    """How much wider than the wanted box a canvas must be, µm."""
    defocus = 2.5 * recipe.artefacts.out_of_focus_sigma_um
    if recipe.artefacts.out_of_focus_per_mm2 <= 0:
        defocus = 0.0
    haze = 2.5 * recipe.camera.haze_um if recipe.camera.haze > 0 else 0.0
    reach = max(MARGIN_UM, 1.1 * recipe.tissue.nucleus_um, 0.95 * recipe.tissue.macrophage_um)
    return reach + 3 * max(recipe.camera.psf_um) + defocus + haze + 2 * px_um


def draw(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, labels: np.ndarray, stained: list[Stain]
) -> Drawn:
    """Everything on a canvas.

    Parameters
    ----------
    recipe : LungRecipe
        The look.
    tissue : Tissue
        The lung.
    canvas : Canvas
        The grid.
    labels : numpy.ndarray of int32, shape of the canvas
        Cancer cells; host nuclei and macrophages keep off them.
    stained : list of Stain
        What those cells emit.
    """
    light = recipe.light
    maps = tissue.maps(canvas)
    fold = folded(recipe.artefacts, tissue.seed, canvas)
    if fold is not None:
        maps = _with_fold(maps, fold)
    body = np.zeros(canvas.shape, dtype=np.float32)
    for part in stained:
        body.ravel()[part.index] = part.body
    planes = _tissue_light(recipe, tissue, canvas, maps, body)
    bright = _bright_light(recipe, tissue, canvas, maps, labels)
    nuclear, ki67 = _host_nuclei(recipe, tissue, canvas, maps, labels)
    ignore, phages = _macrophages(recipe, tissue, canvas, maps, labels)
    if phages is not None:
        bright.ravel()[phages.index] = np.maximum(bright.ravel()[phages.index], phages.marker)
        nuclear.ravel()[phages.index] = np.maximum(
            nuclear.ravel()[phages.index] * 0.3, phages.nucleus
        )
    marker = np.zeros(canvas.shape, dtype=np.float32)
    for part in stained:
        marker.ravel()[part.index] = part.marker
        nuclear.ravel()[part.index] = part.nucleus * light.cell_nucleus_gain
        ki67.ravel()[part.index] = part.ki67
    for channel, share in enumerate(light.bright_spectrum):
        planes[channel] += np.float32(light.bright_af_e * share) * bright
    planes[0] += np.float32(light.marker_e) * marker
    planes[1] += np.float32(light.nucleus_e) * nuclear
    planes[3] += np.float32(light.ki67_e) * ki67
    if fold is not None:
        double = canvas.upsample(fold * (maps.lung > 0))
        for plane, glass in zip(planes, light.glass_e, strict=True):
            plane += 0.8 * double * np.maximum(plane - np.float32(1.35 * glass), 0)
    _debris(recipe, tissue, canvas, planes)
    return Drawn(_through_optics(recipe, tissue, canvas, planes), ignore)


def _with_fold(maps: TissueMaps, fold: np.ndarray) -> TissueMaps:
    """The maps where tissue lies double: crumpled, no air left, dense with nuclei."""
    crumpled = np.minimum(6 * fold - 3, maps.lung)
    return replace(
        maps,
        depth=np.maximum(maps.depth, crumpled),
        consolidated=np.maximum(maps.consolidated, 0.8 * fold),
    )


def _tissue_light(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, maps: TissueMaps, body: np.ndarray
) -> np.ndarray:
    """Glass, haze, tissue autofluorescence and unspecific stain; (4, h, w)."""
    light, look = recipe.light, recipe.tissue
    soft = np.float32(max(1.2, 0.8 * canvas.px_um))
    cover = np.clip(canvas.upsample(maps.depth) / soft + 0.5, 0, 1)
    level = 1 + (look.consolidated_gain - 1) * maps.consolidated
    uneven = noise_grid(canvas.node_y, canvas.node_x, 75.0, sub_seed(tissue.seed, 70))
    level = level * (0.65 + 0.7 * uneven)
    for wall, gain in ((maps.epithelium, 0.6), (maps.vessel_wall, 0.8)):
        if wall is not None:
            level = level + gain * np.clip(wall + 0.5, 0, 1)
    texture = 1 + look.texture * _texture(canvas, tissue.seed, 1.6, 0)
    texture += 0.5 * look.texture * _texture(canvas, tissue.seed, 5.0, 1)
    tissue_map = cover * canvas.upsample(level) * np.clip(texture, 0.1, 3)
    tissue_map *= 1 - np.float32(0.5) * body
    inside = canvas.upsample(np.clip(maps.lung / 4 + 0.5, 0, 1))
    planes = np.empty((4, *canvas.shape), dtype=np.float32)
    for channel in range(4):
        af = light.tissue_af_e * light.tissue_spectrum[channel]
        glass = np.float32(light.glass_e[channel])
        planes[channel] = tissue_map * np.float32(af) + (glass * (1 + 0.35 * inside))
    patchy = tissue_map * (1 + 0.35 * _texture(canvas, tissue.seed, 2.4, 2))
    planes[0] += np.float32(light.marker_unspecific_e) * patchy
    planes[3] += np.float32(light.ki67_unspecific_e) * patchy
    if maps.epithelium is not None and light.marker_epithelium_e > 0:
        lining = lining_marker(recipe, tissue, canvas, maps.epithelium)
        planes[0] += np.float32(light.marker_epithelium_e) * lining * texture
    return planes


def _texture(canvas: Canvas, seed: int, scale_um: float, use: int) -> np.ndarray:
    """Texture of a given grain, anchored to the section."""
    offset = sub_seed(seed, 80 + use) % 600
    return texture_window(
        canvas.box.y0 + offset,
        canvas.box.x0 + 2 * offset,
        canvas.shape,
        scale_px=scale_um / canvas.px_um,
    )


def _bright_light(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, maps: TissueMaps, labels: np.ndarray
) -> np.ndarray:
    """Red cells and elastin; relative, (h, w)."""
    plane = np.zeros(canvas.shape, dtype=np.float32)
    red = host.red_cells(tissue, canvas, maps)
    red = red.take(~_covered(canvas, labels, red.y_um, red.x_um))
    host.paint_red_cells(red, canvas, plane)
    fibres = host.strands(
        tissue, canvas, kind=130, per_mm2=recipe.tissue.elastin_per_mm2, length_um=(6, 40), bend=0.5
    )
    for chain in fibres:
        y, x = (np.array([a[len(a) // 2]]) for a in chain[:2])
        if canvas.sample(maps.depth, y, x)[0] > -3 and maps.lung.max() > 0:
            host.paint_strand(chain, canvas, plane, width_um=0.35, level=0.15 + 0.6 * chain[2])
    return plane


def _covered(canvas: Canvas, labels: np.ndarray, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
    """Which points lie on a cancer cell."""
    y, x = canvas.to_px(y_um, x_um)
    iy = np.clip(np.floor(y).astype(int), 0, canvas.shape[0] - 1)
    ix = np.clip(np.floor(x).astype(int), 0, canvas.shape[1] - 1)
    return labels[iy, ix] > 0


def _host_nuclei(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, maps: TissueMaps, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Host nuclei and the Ki67 in some of them; relative, (h, w) each."""
    look = recipe.tissue
    points = host.nuclei(tissue, canvas, maps)
    points = points.take(~_covered(canvas, labels, points.y_um, points.x_um))
    nuclear = np.zeros(canvas.shape, dtype=np.float32)
    ki67 = np.zeros(canvas.shape, dtype=np.float32)
    degree = canvas.sample(maps.consolidated, points.y_um, points.x_um)
    share = look.host_ki67_fraction + degree * (
        look.host_ki67_fraction_consolidated - look.host_ki67_fraction
    )
    glow = (0.55 + 0.6 * points.luck[:, 1]) * (points.luck[:, 2] < share)
    weight = 0.55 + 0.75 * points.luck[:, 2]
    host.paint_nuclei(
        points, canvas, nucleus_um=look.nucleus_um, targets=[(nuclear, weight), (ki67, glow)]
    )
    return nuclear, ki67


def _macrophages(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, maps: TissueMaps, labels: np.ndarray
) -> tuple[np.ndarray, Stain | None]:
    """Mask of pigmented macrophages, and what they emit."""
    look = recipe.tissue
    ignore = np.zeros(canvas.shape, dtype=bool)
    densest = max(look.macrophages_per_mm2, look.macrophages_per_mm2_consolidated)
    if densest <= 0:
        return ignore, None
    points = host.scatter(tissue, canvas, kind=140, spacing_um=1000 / np.sqrt(densest), pad_um=12.0)
    degree = canvas.sample(maps.consolidated, points.y_um, points.x_um)
    wanted = look.macrophages_per_mm2 + degree * (
        look.macrophages_per_mm2_consolidated - look.macrophages_per_mm2
    )
    inside = canvas.sample(maps.lung, points.y_um, points.x_um) > 8
    reach = canvas.sample(maps.depth, points.y_um, points.x_um) > -look.macrophage_um
    points = points.take((points.luck[:, 0] * densest < wanted) & inside & reach)
    if not len(points):
        return ignore, None
    phage_look = macrophage_look(look.macrophage_um)
    parts = []
    for k in range(len(points)):
        rng = np.random.Generator(np.random.Philox(key=int(points.luck[k, 1] * 2**50)))
        at = np.array([[points.y_um[k], points.x_um[k]]])
        parts.append(draw_cells(rng, phage_look, at))
    phages = Cells.join(parts)
    origin = (canvas.box.y0, canvas.box.x0)
    raster = rasterise(
        phages.shapes, origin_px=origin, shape_px=canvas.shape, px_um=canvas.px_um,
        roughness=phage_look.roughness,
    )  # fmt: skip
    hit = np.unique(raster.owner[labels > 0])
    free = np.where(np.isin(raster.owner, hit), 0, raster.owner)
    shown = stain(phages, phage_look, raster, free, origin_px=origin, px_um=canvas.px_um)
    return free > 0, shown


def macrophage_look(diameter_um: float) -> CellLook:
    """Pigmented macrophages as cells: granular all over, no membrane ring."""
    return CellLook(
        diameter_um=diameter_um, diameter_cv=0.2, irregularity=0.16, elongation=0.15,
        roughness=0.05, nucleus_fraction=0.46, membrane=0.08, cytoplasm=0.42,
        puncta=0.34, cap=0.1, brightness_cv=0.5, ki67_fraction=0.0,
    )  # fmt: skip


def _debris(recipe: LungRecipe, tissue: Tissue, canvas: Canvas, planes: np.ndarray) -> None:
    """Lint: long bright curves, strongest in the blue."""
    chains = host.lint(tissue, canvas, per_mm2=recipe.artefacts.debris_per_mm2)
    if not chains:
        return
    plane = np.zeros(canvas.shape, dtype=np.float32)
    for chain in chains:
        host.paint_strand(
            chain, canvas, plane, width_um=0.7 + 1.6 * chain[2] ** 2, level=0.6 + chain[2]
        )
    for channel, share in enumerate((0.6, 1.2, 0.8, 0.5)):
        planes[channel] += np.float32(share * recipe.light.bright_af_e) * plane


def _through_optics(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, planes: np.ndarray
) -> np.ndarray:
    """Bleed-through, blur, patches out of focus, shading."""
    planes = optics.blur(optics.mix(planes, recipe.light), recipe.camera, px_um=canvas.px_um)
    loss = focus_loss(recipe.artefacts, tissue.seed, canvas)
    if loss is not None:
        sigma = recipe.artefacts.out_of_focus_sigma_um
        planes = optics.defocus(planes, canvas, weight=loss, sigma_um=sigma)
    planes *= optics.shading(canvas, recipe.camera, seed=tissue.seed)
    return planes
