"""init → fill in → check → load, as a user does it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fociquant.cli import main
from fociquant.io import write_ome_tiff
from fociquant.study import load_study
from fociquant.units import PixelSize


def images(folder: Path, *names: str, channels: tuple[str, ...] = ("DAPI", "HER2", "AF")) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 99, (len(channels), 32, 32), np.uint16)
        (folder / name).parent.mkdir(exist_ok=True)
        write_ome_tiff(
            folder / name, pixels, channel_names=channels, pixel_size=PixelSize.square(0.5)
        )


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    output = capsys.readouterr()
    return int(left.value.code or 0), output.out, output.err


def test_clear_names_need_nothing_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = [(group, days) for group in ("IAV", "PBS") for days in (3, 15)]
    names = [f"{group}_{days}dpi_m{m}_s1.ome.tif" for group, days in arms for m in (1, 2)]
    images(tmp_path, *names, "IAV_3dpi_m1_s1_labels.tif")
    code, out, _ = run(capsys, "init", tmp_path)
    assert code == 0
    assert "8 images" in out
    assert "Left out as label images or overviews: 'IAV_3dpi_m1_s1_labels.tif'" in out
    code, out, _ = run(capsys, "check", tmp_path / "study.yaml")
    assert code == 0
    for part in (
        "8 mice, 8 sections",
        "n = 2 mice  (reference)",
        "marker = HER2, nucleus = DAPI, autofluorescence = AF",
        "pixel size: 0.5 µm",
        "20 µm apart",
        "solitary, cluster, micrometastasis, macrometastasis (profile chia2025)",
    ):
        assert part in out
    study = load_study(tmp_path)
    assert (study.preset, study.reference_group, len(study.mice)) == ("her2_if", "PBS", 8)
    assert {section.dpi for section in study.sections} == {3.0, 15.0}


def test_init_fill_in_check_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "slides"
    images(folder, "Scan_a.ome.tif", "Scan_b.ome.tif", "=1+1.tif", channels=("DAPI", "Cy5"))
    code, out, _ = run(capsys, "init", folder)
    assert code == 0
    assert "fill in mouse, group, dpi" in out
    assert "write which channel is the marker, of 'DAPI', 'Cy5'" in out

    code, out, _ = run(capsys, "check", folder)
    assert code == 2
    assert "10 problems; nothing can be counted yet" in out
    for line in (2, 3, 4):
        for column in ("mouse", "group", "dpi"):
            assert f"samples.csv, line {line}, column '{column}'\n     the cell is empty." in out
    assert "key 'channels.marker'\n     no channel is named." in out

    sheet = folder / "samples.csv"
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, mouse in zip(rows, ("007", "1E5", "=1+1"), strict=True):
        row.update(mouse=mouse, group="PBS", dpi="15")
    with sheet.open("w", encoding="cp1252", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    yaml = folder / "study.yaml"
    yaml.write_text(yaml.read_text("utf-8").replace("marker: null", "marker: Cy5"), "utf-8")

    code, out, _ = run(capsys, "check", folder)
    assert code == 0
    study = load_study(folder)
    assert [section.mouse for section in study.sections] == ["007", "1E5", "=1+1"]
    assert [section.name for section in study.sections] == ["_1+1", "Scan_a", "Scan_b"]
    assert study.channels.marker == "Cy5"


def test_check_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(tmp_path, "IAV_3dpi_m1_s1.tif")
    run(capsys, "init", tmp_path)
    code, out, _ = run(capsys, "check", tmp_path, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["problems"]) == (0, True, [])
    assert answer["summary"]["channels"]["marker"] == "HER2"
    (tmp_path / "IAV_3dpi_m1_s1.tif").unlink()
    code, out, _ = run(capsys, "check", tmp_path, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["summary"]) == (2, False, {})
    (problem,) = answer["problems"]
    assert problem["where"] == "samples.csv, line 2, column 'image'"
    assert set(problem) == {"where", "what", "cure"}


def test_no_images_option_opens_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(tmp_path, "IAV_3dpi_m1_s1.tif")
    run(capsys, "init", tmp_path)
    (tmp_path / "IAV_3dpi_m1_s1.tif").write_bytes(b"")
    assert run(capsys, "check", tmp_path, "--no-images")[0] == 0
    assert run(capsys, "check", tmp_path)[0] == 2


def test_marker_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(tmp_path, "a.tif", channels=("DAPI", "HER2", "Cy5"))
    code, _, err = run(capsys, "init", tmp_path, "--marker", "Cy")
    assert code == 2
    assert "has no channel 'Cy'. Did you mean 'Cy5'?" in err
    assert not (tmp_path / "study.yaml").exists()
    assert run(capsys, "init", tmp_path, "--marker", "GFP", "--marker", "cy5")[0] == 0
    assert "marker: Cy5" in (tmp_path / "study.yaml").read_text("utf-8")


def test_the_marker_is_sought_beyond_a_first_image_that_lacks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path, "A stray one.tif", channels=("Red", "Green", "Blue"))
    images(tmp_path, "m1.tif", channels=("DAPI", "HER2"))
    code, out, _ = run(capsys, "init", tmp_path, "--marker", "HER2")
    assert (code, "marker is 'HER2', of 'DAPI', 'HER2'" in out) == (0, True)


def test_formats_that_are_not_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path, "m1.tif")
    (tmp_path / "m2.jpg").write_bytes(b"")
    code, out, _ = run(capsys, "init", tmp_path)
    assert (code, "In no row: 'm2.jpg'" in out) == (0, True)


def test_existing_files_are_never_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path, "a.tif")
    (tmp_path / "samples.csv").write_text("mine")
    code, out, _ = run(capsys, "init", tmp_path)
    assert (code, "Kept as it was: samples.csv" in out) == (0, True)
    code, _, err = run(capsys, "init", tmp_path)
    assert (code, "--force" in err) == (2, True)
    assert (tmp_path / "samples.csv").read_text() == "mine"
    code, out, _ = run(capsys, "init", tmp_path, "--force")
    assert (code, "is in samples.old.csv." in out) == (0, True)
    assert (tmp_path / "samples.csv").read_text("utf-8-sig").startswith("image,mouse")
    assert (tmp_path / "samples.old.csv").read_text() == "mine"


def test_copies_of_replaced_files_are_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path, "a.tif")
    for text in ("first", "second"):
        (tmp_path / "samples.csv").write_text(text)
        assert run(capsys, "init", tmp_path, "--force")[0] == 0
    assert run(capsys, "init", tmp_path, "--force")[0] == 0  # nothing of the user's to keep
    copies = {path.name: path.read_text() for path in tmp_path.glob("samples.old*")}
    assert copies == {"samples.old.csv": "first", "samples.old2.csv": "second"}
    assert not list(tmp_path.glob("study.old*"))


def test_images_that_do_not_open_are_still_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tif").write_bytes(b"no image")
    code, out, _ = run(capsys, "init", tmp_path)
    assert (code, "no image could be opened" in out) == (0, True)
    code, out, _ = run(capsys, "check", tmp_path)
    assert (code, "column 'image', a.tif" in out) == (2, True)


@pytest.mark.parametrize("command", ["init", "check"])
def test_wrong_path_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, err = run(capsys, command, tmp_path / "absent")
    assert code == 2
    assert "absent" in out + err


@pytest.mark.parametrize("command", ["init", "check"])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"Example:\n    fociquant {command} " in out


def brown_slide(path: Path, *, bright: bool, spot: int = 10) -> None:
    pixels = np.full((64, 64, 3), 235 if bright else 12, np.uint8)
    pixels[10:20, spot : spot + 10] = (150, 100, 60) if bright else (20, 230, 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="rgb", resolution=(20000, 20000),
                     resolutionunit="CENTIMETER")  # fmt: skip


def test_brown_slides_get_the_preset_that_separates_stains(tmp_path, capsys):
    for mouse in (1, 2):
        brown_slide(tmp_path / f"PBS_3dpi_m{mouse}_s1.tif", bright=True, spot=10 * mouse)
    code, out, _ = run(capsys, "init", tmp_path)
    assert code == 0 and "dab_ihc" in out
    study = load_study(tmp_path)
    assert (study.preset, study.channels.marker) == ("dab_ihc", "DAB")
    assert study.channels.nucleus == "haematoxylin"
    assert run(capsys, "check", tmp_path / "study.yaml")[0] == 0


def test_merged_fluorescence_in_colour_is_not_taken_for_brown_slides(tmp_path, capsys):
    brown_slide(tmp_path / "PBS_3dpi_m1_s1.tif", bright=False)
    assert "dab_ihc" not in run(capsys, "init", tmp_path)[1]


def test_immune_markers_are_written_as_such(tmp_path, capsys):
    images(tmp_path, "PBS_3dpi_m1_s1.ome.tif", channels=("DAPI", "HER2", "CD8", "Ki67"))
    assert run(capsys, "init", tmp_path)[0] == 0
    study = load_study(tmp_path)
    assert dict(study.channels.phenotype) == {"Ki67": "Ki67", "CD8": "CD8"}
    assert [name for name, rule in study.channels.rules.items() if rule.immune] == ["CD8"]


def test_epithelial_markers_are_written_with_their_membrane(tmp_path, capsys):
    images(tmp_path, "PBS_3dpi_m1_s1.ome.tif", channels=("DAPI", "HER2", "EpCAM-647", "E-Cad"))
    assert run(capsys, "init", tmp_path)[0] == 0
    rules = load_study(tmp_path).channels.rules
    assert {name: rule.compartment for name, rule in rules.items()} == {
        "EpCAM": "membrane", "E-cadherin": "membrane",
    }  # fmt: skip
