"""Guesses for new study files: helpful when clear, silent when not."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fociquant.errors import StudyError
from fociquant.study.guess import Roles, Sample, guess_reference, guess_roles, guess_samples
from fociquant.study.scaffold import find_images, sheet_text, study_text, write_new


def test_roles_of_a_usual_panel() -> None:
    roles = guess_roles(["DAPI", "HER2 (Alexa 488)", "AF", "Ki-67", "VIM", "Brightfield"])
    assert (roles.nucleus, roles.marker, roles.autofluorescence) == (
        "DAPI", "HER2 (Alexa 488)", "AF",
    )  # fmt: skip
    assert dict(roles.phenotype) == {"Ki67": "Ki-67", "vimentin": "VIM"}
    assert roles.preset == "her2_if"


@pytest.mark.parametrize(
    ("channels", "marker", "nucleus", "autofluorescence"),
    [
        (["Hoechst 33342", "EGFP"], "EGFP", "Hoechst 33342", None),
        (["tdTomato", "DAPI", "Autofluorescence"], "tdTomato", "DAPI", "Autofluorescence"),
        (["c-erbB2", "DRAQ5"], "c-erbB2", "DRAQ5", None),
        (["AF488", "AF 647", "DAPI"], None, "DAPI", None),
        (["channel 0", "channel 1"], None, None, None),
        (["PyMT", "auto-fl"], "PyMT", None, "auto-fl"),
        ([], None, None, None),
    ],
)
def test_roles(
    channels: list[str], marker: str | None, nucleus: str | None, autofluorescence: str | None
) -> None:
    roles = guess_roles(channels)
    assert (roles.marker, roles.nucleus, roles.autofluorescence) == (
        marker, nucleus, autofluorescence,
    )  # fmt: skip


def test_a_named_marker_goes_first() -> None:
    assert guess_roles(["GFP", "HER2", "Ki67"], ["absent", "ki67"]).marker == "Ki67"
    assert guess_roles(["GFP", "HER2"], ["gfp"]).preset == "gfp_if"


@pytest.mark.parametrize(
    ("image", "sample"),
    [
        ("IAV_15dpi_m03_s2.ome.tif", ("m03", "IAV", "15")),
        ("PBS-d3-M1-sec2.tif", ("M1", "PBS", "3")),
        ("MA10/mouse_7_day_28.tif", ("mouse7", "MA10", "28")),
        ("dpi9 IAV m12b.ome.zarr", ("m12b", "IAV", "9")),
        ("IAV_2.5dpi_m1.tif", ("m1", "IAV", "2.5")),
        ("IAV-09d-m1-s1.tif", ("m1", "IAV", "9")),
        ("IAV_28days_m1.tif", ("m1", "IAV", "28")),
        ("IAV_d03_m1.tif", ("m1", "IAV", "3")),
        ("IAV_3D_m1.tif", ("", "", "")),
        ("m1_s1.tif", ("m1", "", "")),
        ("Image001.tif", ("", "", "")),
        ("IAV_3dpi.tif", ("", "", "3")),
    ],
)
def test_metadata_of_one_name(image: str, sample: tuple[str, str, str]) -> None:
    (guess,) = guess_samples([image])
    assert (guess.mouse, guess.group, guess.dpi) == sample


def test_a_constant_prefix_is_no_group() -> None:
    names = ["exp1_IAV_15dpi_m03_s2.tif", "exp1_PBS_15dpi_m04_s2.tif"]
    assert [s.group for s in guess_samples(names)] == ["IAV", "PBS"]


def test_unclear_names_merge_no_mice() -> None:
    names = ["IAV_3dpi_m3-1.tif", "IAV_3dpi_m3-2.tif"]
    assert [(s.mouse, s.dpi) for s in guess_samples(names)] == [("", "3"), ("", "3")]
    names = ["IAV_3dpi_m3.tif", "IAV_3dpi_m3_left.tif"]
    assert {s.mouse for s in guess_samples(names)} == {""}


def test_a_number_used_in_two_groups_is_two_mice() -> None:
    names = ["IAV_3dpi_m1_s1.tif", "IAV_3dpi_m1_s2.tif", "PBS_3dpi_m1_s1.tif", "PBS_3dpi_m2_s1.tif"]
    mice = [sample.mouse for sample in guess_samples(names)]
    assert mice == ["IAV_3dpi_m1", "IAV_3dpi_m1", "PBS_3dpi_m1", "m2"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6))
def test_any_names_give_a_sheet_that_holds_no_formula(names: list[str]) -> None:
    images = [f"{name}.tif" for name in names]
    text = sheet_text(guess_samples(images))
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["image", "mouse", "group", "dpi", "section", "control", "batch"]
    assert [row[0].removeprefix("./") for row in rows] == [i.removeprefix("./") for i in images]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


@given(st.text(), st.text(min_size=1), st.text())
def test_any_names_give_a_yaml_file_that_says_them(name: str, marker: str, other: str) -> None:
    roles = Roles(marker=marker, phenotype={"Ki67": other})
    content = yaml.safe_load(study_text(name, roles, [], channels=[marker, other]))
    assert content["name"] == name
    assert content["channels"]["marker"] == marker
    assert content["channels"]["phenotype"] == {"Ki67": other}


def test_reference_group() -> None:
    assert guess_reference(["IAV", "PBS"]) == "PBS"
    assert guess_reference(["IAV", "Mock"]) == "Mock"
    assert guess_reference(["IAV", "MA10"]) is None


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_what_is_taken_for_a_section(tmp_path: Path) -> None:
    make(
        tmp_path, "b.tif", "a.ome.TIF", "a_labels.tif", "s/c.ome.tiff", "s/c_cp_masks.tif",
        "s/deep/d.tif", "z.ome.zarr/0/x.tif", "notes.txt", "x.png", "._b.tif", ".hidden/h.tif",
        "masks/m.tif", "results/run.json", "results/r.tif", "z_labels.zarr/.zgroup", ".tif",
    )  # fmt: skip
    (tmp_path / "folder.tif").mkdir()
    found = find_images(tmp_path)
    assert found.images == ("a.ome.TIF", "b.tif", "s/c.ome.tiff", "s/deep/d.tif", "z.ome.zarr")
    assert found.skipped == ("a_labels.tif", "s/c_cp_masks.tif", "z_labels.zarr")


def test_folders_in_folders_are_looked_through(tmp_path: Path) -> None:
    make(
        tmp_path, "IAV 15 dpi/mouse-3/section_1.tif", "PBS 15 dpi/mouse-3/section_1.tif",
        "a/b/c/d/e/f/too_deep.tif", "IAV 15 dpi/mouse-3/masks/section_1.tif",
        "old/results/.fociquant", "old/results/sections/m1/labels.tif",
    )  # fmt: skip
    found = find_images(tmp_path)
    assert found.images == (
        "IAV 15 dpi/mouse-3/section_1.tif", "PBS 15 dpi/mouse-3/section_1.tif",
    )  # fmt: skip
    assert [(one.mouse, one.group, one.dpi) for one in guess_samples(found.images)] == [
        ("IAV_15dpi_mouse3", "IAV", "15"), ("PBS_15dpi_mouse3", "PBS", "15"),
    ]  # fmt: skip


def test_side_images_and_folders_of_the_system_are_no_sections(tmp_path: Path) -> None:
    make(
        tmp_path, "m1.tif", "m1 thumbnail.tif", "m1-label.tif", "m1_macro.tif", "._m1.tif",
        "m1_overview.png",
        "@eaDir/m1.tif/SYNO_THUMB_M.tif", "__MACOSX/m1.tif", "$RECYCLE.BIN/m1.tif",
        "thumbnails/m1.tif", "overviews/m1.tif",
    )  # fmt: skip
    found = find_images(tmp_path)
    assert found.images == ("m1.tif",)
    assert found.skipped == (
        "m1 thumbnail.tif", "m1-label.tif", "m1_macro.tif", "m1_overview.png",
    )  # fmt: skip


def test_images_of_formats_that_are_not_read_are_told(tmp_path: Path) -> None:
    make(tmp_path, "s/scan.mrxs", "Slide.PNG", "notes.txt")
    with pytest.raises(StudyError, match=r"'Slide\.PNG', 's/scan\.mrxs'.*OME-TIFF"):
        find_images(tmp_path)
    make(tmp_path, "m1.tif")
    assert find_images(tmp_path).unread == ("Slide.PNG", "s/scan.mrxs")


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no section images"):
        find_images(tmp_path)
    with pytest.raises(StudyError, match="cannot be read"):
        find_images(tmp_path / "absent")


def test_section_names_only_where_file_names_collide() -> None:
    text = sheet_text([Sample("x/s1.tif"), Sample("y/S1.ome.tif"), Sample("y/s2.tif")])
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["section"] for row in rows] == ["x_s1", "y_S1", ""]


def test_existing_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("mine")
    assert write_new(tmp_path, {"samples.csv": "new", "study.yaml": "new"}) == ["study.yaml"]
    with pytest.raises(StudyError, match="--force"):
        write_new(tmp_path, {"samples.csv": "new", "study.yaml": "new"})
    assert (tmp_path / "samples.csv").read_text() == "mine"
    write_new(tmp_path, {"samples.csv": "new"}, force=True)
    assert (tmp_path / "samples.csv").read_text(encoding="utf-8-sig") == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.csv", "study.yaml"]
