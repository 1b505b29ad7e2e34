"""Facts of synthetic sections whose tissue, scale and pyramid are known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from fociquant.model import Box
from fociquant.prepare import prepare_section
from fociquant.prepare.sampling import lattice
from fociquant.prepare.soundness import PROBE_TILES
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize

HALF = PixelSize.square(0.5)
ROLES = {"marker": 0, "nucleus": 1, "autofluorescence": 2}
SIZE = 640


class Reader:
    """Levels held in memory."""

    def __init__(self, *levels):
        self.levels = levels

    def read(self, box: Box, channels, level=0):
        return self.levels[level][(slice(None), *box.slices)][list(channels)]


def reduced(image, n):
    c, h, w = image.shape
    means = image.reshape(c, h // n, n, w // n, n).mean(axis=(2, 4))
    return np.round(means).astype(image.dtype)


def section(mask, *, seed=0, septum=None, shading=0.0, glass=20.0):
    """Marker, nucleus, autofluorescence (uint16) of tissue in `mask`, with photon and read noise.

    `septum` (px): tissue is a honeycomb of walls of a third of this pitch; else solid.
    """
    rng = np.random.default_rng(seed)
    h, w = mask.shape
    y, x = np.mgrid[:h, :w]
    if septum:
        mask = mask & ((y % septum < septum / 3) | (x % septum < septum / 3))
    texture = ndimage.gaussian_filter(rng.normal(size=mask.shape), 4)
    light = mask * 300 * (1 + 0.2 * texture / texture.std())
    nuclei = ndimage.maximum_filter(rng.random(mask.shape) < 0.002, 9) & mask
    shade = 1 - shading * ((y / h - 0.5) ** 2 + (x / w - 0.5) ** 2) * 2
    planes = [
        (ndimage.gaussian_filter(plane, 1.2) + glass) * shade
        for plane in (0.4 * light, 600.0 * nuclei, light)
    ]
    noisy = [100 + rng.poisson(plane) + rng.normal(0, 8, plane.shape) for plane in planes]
    return np.round(noisy).clip(0, 65535).astype(np.uint16)


def shape_mask(kind, size=SIZE):
    y, x = np.mgrid[:size, :size]
    radius = np.hypot(y - size / 2, x - size / 2)
    return {
        "all": np.ones((size, size), bool),
        "none": np.zeros((size, size), bool),
        "half": y < size / 2,
        "disc": radius < size / 3,
        "ring": (radius < size / 2.6) & (radius > size / 8),
    }[kind]


def prepare(image, roles=ROLES, **settings):
    reader = image if isinstance(image, Reader) else Reader(image)
    return prepare_section(reader, roles, HALF, PrepareSettings(**settings))


@pytest.mark.parametrize("kind", ["all", "half", "disc"])
@pytest.mark.parametrize("septum", [None, 100])
@pytest.mark.parametrize("shading", [0.0, 0.5])
def test_area_of_a_known_shape(kind, septum, shading):
    mask = shape_mask(kind)
    facts = prepare(section(mask, septum=septum, shading=shading)).facts
    truth = mask.sum() * HALF.area_um2 * 1e-6
    assert facts.tissue_mm2 == pytest.approx(truth, rel=0.05)
    if septum is None:
        assert facts.parenchyma_mm2 == pytest.approx(truth, rel=0.05)
    else:
        assert 0.4 * truth < facts.parenchyma_mm2 < 0.9 * truth


def test_lumen_of_an_airway_belongs_to_the_outline_and_is_not_parenchyma():
    mask = shape_mask("ring")
    facts = prepare(section(mask)).facts
    filled = ndimage.binary_fill_holes(mask)
    assert facts.tissue_mm2 == pytest.approx(filled.sum() * 0.25e-6, rel=0.04)
    assert facts.parenchyma_mm2 == pytest.approx(mask.sum() * 0.25e-6, rel=0.06)


@pytest.mark.parametrize("shading", [0.0, 0.5])
@pytest.mark.parametrize("glass", [20.0, 200.0])
def test_glass_alone_is_no_tissue(shading, glass):
    prepared = prepare(section(shape_mask("none"), shading=shading, glass=glass))
    assert prepared.facts.tissue_mm2 == prepared.facts.parenchyma_mm2 == 0
    assert "No tissue was found." in prepared.warnings


def test_parts_that_were_never_scanned_are_neither_glass_nor_tissue():
    image = section(shape_mask("disc"), septum=100)
    padded = np.pad(image, ((0, 0), (0, 300), (400, 0)))
    whole, part = prepare(padded).facts, prepare(image).facts
    assert whole.tissue_mm2 == pytest.approx(part.tissue_mm2, rel=0.03)
    assert whole.stats["marker"].background == pytest.approx(
        part.stats["marker"].background, rel=0.05
    )


def in_fields(image, wanted, *, side=150, origin=(7, 11)):
    """As a scanner has it that takes only the fields in which something is wanted; 0 elsewhere."""
    scanned = np.zeros(wanted.shape, bool)
    for y in range(origin[0], SIZE, side):
        for x in range(origin[1], SIZE, side):
            field = np.s_[y : y + side, x : x + side]
            scanned[field] = wanted[field].any()
    return np.where(scanned, image, 0).astype(image.dtype)


@pytest.mark.parametrize("factors", [(), (4, 16)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_section_of_which_only_fields_were_scanned_is_the_same_section(factors, dtype):
    """The border of the fields does not fall between pixels of the overview."""
    disc = shape_mask("disc")
    image = section(disc, septum=100, glass=150.0).astype(dtype)
    part = in_fields(image, disc)
    assert 0.2 < (part == 0).all(axis=0).mean() < 0.5
    found, whole = (
        prepare(Reader(one, *(reduced(one, n) for n in factors))) for one in (part, image)
    )
    assert found.warnings == whole.warnings == ()
    assert found.facts.tissue_mm2 == pytest.approx(whole.facts.tissue_mm2, rel=0.02)
    assert found.facts.parenchyma_mm2 == pytest.approx(whole.facts.parenchyma_mm2, rel=0.04)
    for role, stats in whole.facts.stats.items():
        assert found.facts.stats[role].low == pytest.approx(stats.low, rel=0.02)
        assert found.facts.stats[role].high == pytest.approx(stats.high, rel=0.1)
        assert found.facts.stats[role].background == pytest.approx(stats.background, rel=0.02)


def test_tissue_on_exact_black_is_found():
    image = section(shape_mask("half"))
    image[:, SIZE // 2 :] = 0
    facts = prepare(image).facts
    assert facts.tissue_mm2 == pytest.approx(SIZE**2 / 2 * 0.25e-6, rel=0.03)


@pytest.mark.parametrize("role", list(ROLES))
def test_one_channel_is_enough(role):
    image = section(shape_mask("half"), septum=50)
    facts = prepare(image, {role: ROLES[role]}).facts
    assert facts.tissue_mm2 == pytest.approx(SIZE**2 / 2 * 0.25e-6, rel=0.15)
    assert facts.autofluorescence_slope is None


def dense(mask, *, seed=0):
    """`section` of dense lung: patches of it are about half as bright as others."""
    h, w = mask.shape
    rng = np.random.default_rng(seed + 100)
    patches = ndimage.gaussian_filter(rng.normal(size=(h, w)), 60)
    gain = np.where(mask, 1.5 + 0.5 * np.tanh(2 * patches / patches.std()), 1.0)
    return np.round(100 + (section(mask, seed=seed).astype(float) - 100) * gain).astype(np.uint16)


@pytest.mark.parametrize("radius", [50, 70, 90])
def test_lumens_in_dense_lung_are_air(radius):
    y, x = np.mgrid[:SIZE, :SIZE]
    lumens = np.hypot(y - 200, x - 190) < radius
    lumens |= np.hypot(y - 450, x - 420) < 1.2 * radius
    found = prepare(dense(~lumens))
    mm2 = SIZE**2 * HALF.area_um2 / 1e6
    assert found.facts.tissue_mm2 == pytest.approx(mm2, rel=0.01)
    assert found.facts.parenchyma_mm2 == pytest.approx(mm2 * (~lumens).mean(), rel=0.02)
    if radius > 60:  # 30 µm: narrower ones are no lumens
        assert ndimage.label(found.facts.lumen)[1] == 2


@pytest.mark.parametrize("seed", range(4))
def test_dense_lung_without_air_is_all_tissue(seed):
    found = prepare(dense(shape_mask("all"), seed=seed))
    assert found.facts.parenchyma_mm2 == found.facts.tissue_mm2
    assert found.facts.tissue_mm2 == pytest.approx(SIZE**2 * HALF.area_um2 / 1e6)


@pytest.mark.parametrize("septum", [None, 100])
def test_large_bright_foci_do_not_make_the_rest_of_the_lung_glass(septum):
    image = section(shape_mask("all"), septum=septum).astype(np.float64)
    y, x = np.mgrid[:SIZE, :SIZE]
    for cy, cx in ((160, 160), (400, 480)):
        image[:2, np.hypot(y - cy, x - cx) < 90] += 5000
    facts = prepare(image.clip(0, 65535).astype(np.uint16)).facts
    assert facts.tissue_mm2 == pytest.approx(SIZE**2 * 0.25e-6, rel=0.05)


def test_a_small_focus_on_the_slide_beside_dim_tissue_stays_inside():
    image = section(shape_mask("half"), septum=50)
    image[:2, 100:140, 100:140] += 3000
    outline = prepare(image).facts.outline
    assert outline[100 // 16 : 140 // 16, 100 // 16 : 140 // 16].all()


def test_debris_is_removed_and_the_setting_says_how_large():
    mask = shape_mask("disc")
    mask[20:70, 20:70] = True
    image = section(mask)
    corner = np.s_[:8, :8]
    assert not prepare(image).facts.outline[corner].any()
    assert prepare(image, min_tissue_piece_mm2=0.0001).facts.outline[corner].any()


def test_overview_grid_and_areas_at_the_far_edge():
    image = section(np.ones((403, 611), bool))
    facts = prepare(image).facts
    assert facts.outline.shape == facts.artefact.shape == (26, 39)
    assert facts.overview_px == PixelSize.square(8.0)
    assert facts.tissue_mm2 == pytest.approx(403 * 611 * 0.25e-6)


def test_slope_is_not_moved_by_labelled_cells():
    image = section(shape_mask("all"))
    clean = prepare(image).facts.autofluorescence_slope
    assert clean == pytest.approx(0.4, rel=0.05)
    rng = np.random.default_rng(1)
    for y, x in rng.integers(0, SIZE - 30, (40, 2)):
        image[0, y : y + 25, x : x + 25] += 4000
    assert prepare(image).facts.autofluorescence_slope == pytest.approx(clean, rel=0.05)


@pytest.mark.parametrize("value", [0, 120])
def test_an_unstained_channel_that_holds_nothing_explains_nothing(value):
    image = section(shape_mask("all"))
    image[2] = value
    prepared = prepare(image)
    assert prepared.facts.autofluorescence_slope is None, "not 0: it was not told"
    assert prepared.facts.pigment_slope is None and prepared.facts.unmixing is None
    assert [one for one in prepared.warnings if "as in a section without it" in one]
    assert not [one for one in prepare(section(shape_mask("all"))).warnings if "constant" in one]


def test_result_is_the_same_from_a_sound_pyramid():
    image = section(shape_mask("disc"), septum=50)
    plain = prepare(image)
    fast = prepare(Reader(image, reduced(image, 4), reduced(image, 16)))
    assert fast.warnings == plain.warnings == ()
    for role, stats in plain.facts.stats.items():
        assert (fast.facts.stats[role].low, fast.facts.stats[role].high) == (stats.low, stats.high)
        assert fast.facts.stats[role].background == pytest.approx(stats.background, rel=0.03)
    assert fast.facts.tissue_mm2 == pytest.approx(plain.facts.tissue_mm2, rel=0.02)


def test_levels_of_an_image_without_contents_are_not_said_to_be_wrong():
    image = np.full((3, 640, 640), 7, np.uint16)
    warnings = prepare(Reader(image, reduced(image, 4), reduced(image, 16))).warnings
    assert sum("constant" in one for one in warnings) == 3
    assert not [one for one in warnings if "Reduced level" in one]


class Watched(Reader):
    """Remembers which levels were read as a whole."""

    def __init__(self, *levels):
        super().__init__(*levels)
        self.pixels = [0] * len(levels)

    def read(self, box, channels, level=0):
        self.pixels[level] += box.area
        return super().read(box, channels, level)


def test_a_sound_level_spares_reading_the_full_resolution():
    image = section(shape_mask("half", 1024))
    reader = Watched(image, reduced(image, 4), reduced(image, 16))
    prepare(reader, scale_sample_tiles=4)
    assert reader.pixels[0] < 4 * 1024**2
    assert reader.pixels[1] >= 256**2


@pytest.mark.parametrize("damage", ["zero", "nearest", "one channel zero"])
def test_a_reduced_level_that_lies_is_not_used(damage):
    image = section(shape_mask("disc"), septum=50)
    level = {
        "zero": np.zeros_like(reduced(image, 4)),
        "nearest": image[:, ::4, ::4].copy(),
        "one channel zero": reduced(image, 4) * np.array([1, 0, 1], np.uint16)[:, None, None],
    }[damage]
    honest, lied_to = prepare(image), prepare(Reader(image, level))
    assert "level 1" in " ".join(lied_to.warnings)
    np.testing.assert_array_equal(lied_to.facts.outline, honest.facts.outline)
    assert lied_to.facts.tissue_mm2 == honest.facts.tissue_mm2


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(0.0, np.float32), (7.0, np.float32), (np.nan, np.float32), (0, np.uint8), (7, np.uint8)],
)
@pytest.mark.parametrize("shape", [(300, 200), (1, 1), (2, 900)])
def test_images_without_contents_give_finite_facts(value, dtype, shape):
    prepared = prepare(np.full((3, *shape), value, dtype))
    for stats in prepared.facts.stats.values():
        numbers = (stats.low, stats.high, stats.background, stats.spread, stats.noise)
        assert all(map(math.isfinite, numbers))
        assert stats.high > stats.low
        assert stats.spread > 0
    assert prepared.facts.tissue_mm2 == 0
    assert prepared.warnings


@pytest.mark.parametrize(
    ("piece", "empty"),
    [
        (Box(960, 960, 1088, 1088), Box(0, 0, 0, 0)),
        (Box(512, 512, 1536, 1536), Box(512, 512, 1024, 1024)),
    ],
    ids=["full", "empty at its corner"],
)
def test_a_level_that_lacks_pieces_between_the_probed_tiles_is_not_used(piece, empty):
    image = section(shape_mask("disc", 2048), septum=50)
    image[(slice(None), *empty.slices)] = 0  # the edge of what was scanned lies in the piece
    level, probed = reduced(image, 4), np.zeros((2048, 2048), bool)
    for box in lattice((2048, 2048), PROBE_TILES):
        probed[box.slices] = True
    holed = np.where(probed[::4, ::4], level, 0).astype(np.uint16)
    outlines = [
        SimpleNamespace(
            shape=one.shape,
            dtype=one.dtype,
            lacking_pieces=lambda _, n=n: [piece] * n,
        )
        for n, one in enumerate((image, holed))
    ]

    class File(Reader):
        level_outlines = outlines

    found, whole = prepare(File(image, holed)), prepare(Reader(image))
    assert "level 1 of the file lacks parts" in " ".join(found.warnings)
    assert found.facts.tissue_mm2 == whole.facts.tissue_mm2
    np.testing.assert_array_equal(found.facts.marker_map.peaks, whole.facts.marker_map.peaks)


@pytest.mark.parametrize("single", [0, 9])
def test_pieces_that_are_empty_need_not_be_stored(single):
    """Writers leave chunks out that round to zeros, though single counts lie under them."""
    image = section(shape_mask("disc", 2048), septum=50)
    image[0, :512, :512] = 0
    image[0, 100:400:37, 100:400:41] = single
    level = reduced(image, 4)
    level[0, :128, :128] = 0
    pieces = [Box(0, 0, 512, 512), Box(0, 510, 512, 512)]  # one is cut by the image's border
    outlines = [
        SimpleNamespace(
            shape=one.shape,
            dtype=one.dtype,
            lacking_pieces=lambda channel, n=n: pieces * (n and channel == 0),
        )
        for n, one in enumerate((image, level))
    ]

    class File(Reader):
        level_outlines = outlines

    assert "lacks parts" not in " ".join(prepare(File(image, level)).warnings)


def test_nan_pixels_are_left_out_and_reported():
    image = section(shape_mask("disc")).astype(np.float32)
    clean = prepare(image)
    image[:, 100:110, 300:400] = np.nan
    image[0, 5, 5] = np.inf
    spoilt = prepare(image)
    assert "3001 pixels" in " ".join(spoilt.warnings)
    assert spoilt.facts.tissue_mm2 == pytest.approx(clean.facts.tissue_mm2, rel=0.02)
    assert spoilt.facts.stats["marker"].background == pytest.approx(
        clean.facts.stats["marker"].background, rel=0.01
    )


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_what_was_never_scanned_is_no_tissue_however_it_is_stored(missing):
    image = section(np.ones((1024, 1024), bool)).astype(np.float32)
    image[:, 600:] = 0.0
    image[:, :, :130] = 0.0
    zero = prepare(image)
    image[:, 600:] = missing
    image[:, :, :130] = missing
    other = prepare(image)
    np.testing.assert_array_equal(other.facts.outline, zero.facts.outline)
    assert other.facts.tissue_mm2 == zero.facts.tissue_mm2
    assert other.facts.tissue_mm2 == pytest.approx(600 * 894 * HALF.area_um2 / 1e6, rel=0.03)
    assert other.facts.stats["marker"].background == pytest.approx(
        zero.facts.stats["marker"].background, rel=0.01
    )


def test_eight_bit_crop_of_nuclei_uses_every_pixel():
    rng = np.random.default_rng(3)
    image = rng.normal(12, 1.5, (256, 256))
    y, x = np.mgrid[:256, :256]
    for cy, cx in rng.integers(10, 246, (40, 2)):
        image[np.hypot(y - cy, x - cx) < 9] += 90
    pixels = image.clip(0, 255).astype(np.uint8)
    stats = prepare(pixels[None], {"marker": 0}).facts.stats["marker"]
    assert (stats.low, stats.high) == tuple(np.percentile(pixels, (2, 99.8)))
    assert stats.saturation == 255


@pytest.mark.parametrize("wall", [6, 9])
def test_glass_beside_thin_septa_is_not_lung(wall):
    """Walls thinner than an overview pixel blur the two groups of brightness."""
    size, glass = 1536, 400
    y, x = np.mgrid[:size, :size]
    rng = np.random.default_rng(5)
    bends = ndimage.gaussian_filter(rng.normal(size=(size, size)), 25)
    shift = np.round(bends / bends.std() * 12).astype(int)
    lung = y >= glass
    walls = lung & (((y + shift) % 90 < wall) | ((x + shift) % 110 < wall) | (y < glass + wall))
    solid = lung & (y > 1200) & (x > 700)
    image = section(walls | solid, seed=5)
    found = prepare(image).facts
    expected = lung.sum() * HALF.area_um2 / 1e6
    assert found.tissue_mm2 == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("most", "edge_px"), [(1 << 20, 4), (1000, 16)])
def test_the_picture_of_a_small_section_shows_cells(monkeypatch, most, edge_px):
    """Means over squares of 2 µm, where these are few; else of the overview's 8 µm."""
    from fociquant.prepare import first_look

    monkeypatch.setattr(first_look, "FINE_PX", most)
    image, drawn = section(shape_mask("disc")), []
    found = prepare_section(
        Reader(image), ROLES, HALF, PrepareSettings(), draw=lambda *seen: drawn.append(seen)
    )
    ((facts, planes),) = drawn
    for name in ("outline", "artefact"):
        np.testing.assert_array_equal(getattr(facts, name), getattr(found.facts, name))
    assert facts.outline.shape == (40, 40) and facts.outline.any()
    for role, channel in ROLES.items():
        blocks = image[channel].reshape(SIZE // edge_px, edge_px, SIZE // edge_px, edge_px)
        np.testing.assert_allclose(planes[role], blocks.mean(axis=(1, 3)), rtol=1e-6)
