"""A drawn section with known immune cells round one focus, from the image to the table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fociquant.errors import InputError
from fociquant.io import write_ome_tiff
from fociquant.run import immune, jobs
from fociquant.run import study as corridor
from fociquant.run.start import require_runnable
from fociquant.settings import ComputeSettings
from fociquant.store import read_csv
from fociquant.testing.segmenters import UphillSegmenter, cones
from fociquant.testing.studies import write_section
from fociquant.units import PixelSize

SHAPE = (640, 640)
FOCUS = np.array([(300, 300), (300, 330), (300, 360)])
"""Cancer cells of 24 px, px of 0.5 µm: one focus of 42 by 12 µm."""

NEAR = [(250, 300), (350, 330), (300, 400)]
"""13 to 19 µm from the edge of the focus."""

FURTHER = [(240, 270), (300, 425)]
"""In the second band."""

FAR = [(40, 40), (600, 40), (600, 600), (40, 600)]
"""Beyond 100 µm."""

BARE = [(200, 330), (330, 230), (150, 150)]
"""Nuclei without the marker."""


def rims(places):
    y, x = np.indices(SHAPE) + 0.5
    away = [np.hypot(y - cy, x - cx) for cy, cx in places]
    return 800.0 * np.any([(a > 6.0) & (a < 9.5) for a in away], axis=0)


def write_study(folder, *, immune_line="phenotype: {CD8: {channel: CD8, immune: true}}"):
    rng = np.random.default_rng(0)
    host = NEAR + FURTHER + FAR
    nuclei = cones(SHAPE, np.array([*FOCUS, *host, *BARE]), 14.0)
    planes = np.stack([cones(SHAPE, FOCUS, 24.0), nuclei, rims([*host, *FOCUS[:1]])])
    planes = np.clip(planes + 80 + rng.normal(0, 6, planes.shape), 0, 60000).astype(np.uint16)
    (folder / "images").mkdir(parents=True)
    write_ome_tiff(folder / "images" / "s0.ome.tif", planes, channel_names=("HER2", "DAPI", "CD8"),
                   pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
    write_section(folder / "images" / "s1.ome.tif", SHAPE, FOCUS)
    (folder / "samples.csv").write_text(
        "image,mouse,group,dpi\nimages/s0.ome.tif,a,PBS,3\nimages/s1.ome.tif,b,IAV,3\n"
    )
    study = folder / "study.yaml"
    study.write_text(
        "samples: samples.csv\nchannels:\n  marker: HER2\n  nucleus: DAPI\n  " + immune_line
    )
    return study


def all_tissue(*args, **options):
    from fociquant.prepare import prepare_section

    found = prepare_section(*args, **options)
    everywhere = np.ones_like(found.facts.outline)
    facts = dataclasses.replace(
        found.facts, outline=everywhere, artefact=~everywhere, tissue_mm2=0.1024
    )
    return dataclasses.replace(found, facts=facts)


@pytest.fixture()
def count(monkeypatch):
    monkeypatch.setattr(corridor, "load_segmenter",
                        lambda *_, **__: UphillSegmenter(window_core_px=64))  # fmt: skip
    monkeypatch.setattr(corridor, "report", lambda *_: None)
    monkeypatch.setattr(jobs, "overview_png", lambda *_, **__: b"PNG")
    monkeypatch.setattr(jobs, "prepare_section", all_tissue)

    def run(study, out):
        return corridor.run_study(require_runnable(study), out, compute=ComputeSettings(threads=1))

    return run


def table(out):
    return read_csv(out / "immune_bands.csv", text=("section", "class", "marker", "bands_note"))


def test_immune_cells_are_counted_in_bands_round_the_focus(tmp_path, count, monkeypatch):
    out = tmp_path / "r"
    outcome = count(write_study(tmp_path / "study"), out)
    assert outcome.tables.mice["cells"].tolist() == [3, 3]
    assert "CD8_positive" not in outcome.tables.mice
    bands = table(out)
    own = bands[(bands["section"] == "s0") & (bands["class"] == "all")]
    assert own["inner_um"].tolist() == [0, 20, 40, 60, 80, 100]
    assert own["outer_um"].isna().tolist() == [False] * 5 + [True]
    assert own["cells"].tolist() == [len(NEAR), len(FURTHER), 0, 0, 0, len(FAR)]
    assert own["marker"].unique().tolist() == ["CD8"]
    # 42 by 12 µm with round ends: perimeter times 20 µm, and the disc of its corners.
    assert own["area_mm2"].iloc[0] == pytest.approx(3.2e-3, rel=0.06)
    foci = outcome.tables.foci.query("section == 's0'")["area_um2"].sum() / 1e6
    assert own["area_mm2"].sum() + foci == pytest.approx(0.1024, rel=1e-3)
    density = own["cells"] / own["area_mm2"]
    np.testing.assert_allclose(own["cells_per_mm2"], density, rtol=1e-3)
    classes = bands[(bands["section"] == "s0") & (bands["class"] == "cluster")]
    assert classes["cells"].tolist() == [len(NEAR), len(FURTHER), 0, 0, 0]
    other = bands[(bands["section"] == "s0") & (bands["class"] == "solitary")]
    assert other["area_mm2"].eq(0).all() and other["cells_per_mm2"].isna().all()
    assert other["bands_note"].eq(immune.NO_FOCUS).all()

    lacking = bands[bands["section"] == "s1"]
    assert lacking["cells"].isna().all() and lacking["bands_note"].eq(immune.NO_CHANNEL).all()
    warned = outcome.tables.sections.set_index("section").loc["s1", "warnings"]
    assert "no channel for CD8" in warned

    def unread(*_):
        raise AssertionError("pixels were read")

    before = (out / "immune_bands.csv").read_bytes()
    monkeypatch.setattr(immune, "_in_section", unread)
    corridor.recount(out)
    assert (out / "immune_bands.csv").read_bytes() == before


def test_an_immune_marker_without_a_nuclear_stain_is_refused(tmp_path):
    study = write_study(tmp_path / "study")
    study.write_text(study.read_text().replace("  nucleus: DAPI\n", ""))
    with pytest.raises(InputError, match="found by their nucleus"):
        require_runnable(study)


def test_the_size_of_tiles_and_threads_change_nothing(tmp_path, count, monkeypatch):
    study = write_study(tmp_path / "study")
    count(study, tmp_path / "a")
    monkeypatch.setattr(immune, "TILE", 100)
    monkeypatch.setattr(immune, "MOST_THREADS", 1)
    count(study, tmp_path / "b")
    for name in ("immune_bands.csv", "sections/s0/immune.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
