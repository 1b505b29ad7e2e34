"""Checks of a study together with its images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fociquant.errors import Problem, SettingsError
from fociquant.io import write_ome_tiff
from fociquant.run.image_facts import first_facts
from fociquant.run.preflight import check_study, preflight
from fociquant.run.start import require_runnable
from fociquant.units import PixelSize

CHANNELS = "channels: {marker: HER2, nucleus: DAPI, phenotype: {Ki67: Ki67}}\n"
NAMES = ("DAPI", "HER2", "Ki67")


def image(
    path: Path, names: tuple[str, ...] = NAMES, um: float | None = 0.5, dtype: str = "uint16"
) -> None:
    seed = sum(map(ord, str(path.name)))
    pixels = np.random.default_rng(seed).integers(0, 200, (len(names), 40, 50)).astype(dtype)
    size = None if um is None else PixelSize.square(um)
    write_ome_tiff(path, pixels, channel_names=names, pixel_size=size)


def study(folder: Path, *images: str, yaml: str = CHANNELS) -> Path:
    rows = [f"{name},m{i},{'PBS' if i % 2 else 'IAV'},3" for i, name in enumerate(images)]
    (folder / "samples.csv").write_text("\n".join(["image,mouse,group,dpi", *rows, ""]))
    (folder / "study.yaml").write_text(yaml)
    return folder / "study.yaml"


def texts(problems: list[Problem] | tuple[Problem, ...]) -> str:
    return "\n".join(map(str, problems))


def test_a_sound_study_and_its_summary(tmp_path: Path) -> None:
    names = ("a.ome.tif", "b.ome.tif", "c.ome.tif", "d.ome.tif")
    for name in names:
        image(tmp_path / name)
    path = study(tmp_path, *names,
                 yaml=CHANNELS + "reference_group: PBS\n")  # fmt: skip
    found = preflight(path)
    assert (found.problems, found.notes) == ((), ())
    summary = found.summary()
    assert (summary["mice"], summary["sections"], summary["pixel_sizes_um"]) == (4, 4, ["0.5"])
    assert summary["arms"] == [
        {"group": "PBS", "dpi": 3.0, "mice": 2, "control_mice": 0, "excluded_mice": 0},
        {"group": "IAV", "dpi": 3.0, "mice": 2, "control_mice": 0, "excluded_mice": 0},
    ]
    assert found.images[0].roles == {"marker": 1, "nucleus": 0, "Ki67": 2}
    assert found.images[0].shape == (3, 40, 50)


def test_a_model_that_is_not_there_is_told_and_another_may_be_given(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    path = study(tmp_path, "a.tif", yaml=CHANNELS + "segment: {model: ours.pt}\n")
    (problem,) = check_study(path)
    assert "study.yaml, line 2, key 'segment.model': unknown model 'ours.pt'" in str(problem)
    with pytest.raises(SettingsError, match=r"unknown model 'ours\.pt'"):
        require_runnable(path)
    assert require_runnable(path, model="compact").settings.segment.model == "compact"


def test_everything_wrong_with_images_at_once(tmp_path: Path) -> None:
    image(tmp_path / "good.tif")
    image(tmp_path / "no_ki67.tif", ("DAPI", "HER2"))
    image(tmp_path / "other.tif", ("DAPI", "HER-2", "Ki67"), um=None)
    shutil.copy(tmp_path / "good.tif", tmp_path / "copy.tif")
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "good.tif").read_bytes()[:300])
    path = study(tmp_path, "good.tif", "no_ki67.tif", "other.tif", "copy.tif", "text.tif",
                 "cut.tif", "absent.tif", yaml=CHANNELS + "foci: {link_um: -1}\n")  # fmt: skip
    problems = check_study(path)
    text = texts(problems)
    for part in (
        "samples.csv, line 8, column 'image': image 'absent.tif' does not exist.",
        "study.yaml, line 2, key 'foci.link_um'",
        "samples.csv, line 6, column 'image', text.tif:",
        "samples.csv, line 7, column 'image', cut.tif:",
        "key 'channels.marker': no channel 'HER2' in section 'other'. Did you mean 'HER-2'? "
        "There the channels are 'DAPI', 'HER-2', 'Ki67'.",
        "key 'pixel_size_um': no pixel size in section 'other', and none in the study. "
        "Write the microscope's µm per pixel",
        "samples.csv, line 5, column 'image': the file is a copy of that of section 'good'",
    ):
        assert part in text
    assert len(problems) == 7
    notes = texts(preflight(path).notes)
    assert "key 'channels.phenotype.Ki67': no channel 'Ki67' in section 'no_ki67'." in notes
    assert all(problem.what and problem.cure for problem in problems)
    assert len(check_study(path, open_images=False)) == 2


def test_alike_images_make_one_problem(tmp_path: Path) -> None:
    names = [f"{letter}.tif" for letter in "abcdefg"]
    for name in names:
        image(tmp_path / name, ("DAPI", "Ki67"), um=None)
    problems = check_study(study(tmp_path, *names))
    assert len(problems) == 2
    assert "no channel 'HER2' in any of the 7 images" in texts(problems)
    assert "no pixel size in any of the 7 images" in texts(problems)


def test_pixel_size_from_the_study(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", um=None)
    image(tmp_path / "b.tif", um=0.25)
    found = preflight(study(tmp_path, "a.tif", "b.tif", yaml=CHANNELS + "pixel_size_um: 0.5\n"))
    assert found.problems == ()
    (note,) = found.notes
    assert "0.5 µm is used, though the file says 0.25 µm in section 'b'" in str(note)
    assert found.summary()["pixel_sizes_um"] == ["0.5"]


def test_differing_sizes_and_types_are_notes(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", um=0.5)
    image(tmp_path / "b.tif", um=0.25, dtype="uint8")
    image(tmp_path / "c.tif", um=0.5004)
    found = preflight(study(tmp_path, "a.tif", "b.tif", "c.tif"))
    assert found.problems == ()
    assert "sections differ in pixel size: 0.25 µm (1), 0.5 µm (1)" in texts(found.notes)
    assert "different types: uint16, uint8" in texts(found.notes)


def test_name_and_index_of_one_channel(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    yaml = "channels: {marker: HER2, nucleus: 1}\n"
    (problem,) = check_study(study(tmp_path, "a.tif", yaml=yaml))
    assert "key 'channels.nucleus': is the channel of 'marker' in section 'a'" in str(problem)


def test_missing_marker_is_answered_with_the_channels_there(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    found = preflight(study(tmp_path, "a.tif", yaml="channels: {nucleus: DAPI}\n"))
    assert "no channel is named" in texts(found.problems)
    assert "the images have 'DAPI', 'HER2', 'Ki67'" in texts(found.notes)
    assert found.summary() == {}


@pytest.mark.parametrize("names", [["bad.tif", "a.tif"], ["a.tif"]])
def test_first_facts_pass_over_damaged_files(tmp_path: Path, names: list[str]) -> None:
    image(tmp_path / "a.tif")
    (tmp_path / "bad.tif").write_bytes(b"II*\0")
    facts = first_facts(tmp_path / name for name in names)
    assert facts is not None
    assert facts.channel_names == NAMES
    assert first_facts([tmp_path / "bad.tif"]) is None


def notes_of(folder: Path, rows: str, yaml: str = CHANNELS + "reference_group: PBS\n") -> list[str]:
    (folder / "study.yaml").write_text(yaml)
    (folder / "samples.csv").write_text(f"image,mouse,group,dpi,control\n{rows}")
    for row in rows.splitlines():
        (folder / row.split(",")[0]).touch()
    return [str(note) for note in preflight(folder, open_images=False).notes]


def test_what_mice_cannot_show_is_said_before_the_run(tmp_path: Path) -> None:
    rows = "a.tif,m1,PBS,3,\nb.tif,m2,PBS,3,\nc.tif,m3,IAV,3,\nd.tif,m4,IAV,9,\n"
    rows += "e.tif,m4b,IAV,9,\nf.tif,m5,IAV,3,negative\n"
    alone, single = notes_of(tmp_path, rows)
    arms = preflight(tmp_path, open_images=False).summary()["arms"]
    assert [(arm["mice"], arm["control_mice"]) for arm in arms] == [(2, 0), (1, 1), (2, 0)]
    assert "no mouse of 'PBS' at 9 dpi" in alone and "no comparison on that day" in alone
    assert "one mouse only in 'IAV at 3 dpi'." in single  # the control is in no mean


def test_excluded_mice_are_no_n(tmp_path: Path) -> None:
    rows = "a.tif,m1,PBS,3,\nb.tif,m2,PBS,3,\nc.tif,m3,IAV,3,\nd.tif,m4,IAV,3,died\n"
    (tmp_path / "study.yaml").write_text(CHANNELS + "reference_group: PBS\n")
    (tmp_path / "samples.csv").write_text(f"image,mouse,group,dpi,excluded\n{rows}")
    for row in rows.splitlines():
        (tmp_path / row.split(",")[0]).touch()
    found = preflight(tmp_path, open_images=False)
    assert [(arm["mice"], arm["excluded_mice"]) for arm in found.summary()["arms"]] == [
        (2, 0), (1, 1),
    ]  # fmt: skip
    assert ["one mouse only in 'IAV at 3 dpi'." in str(note) for note in found.notes] == [True]


@pytest.mark.parametrize("group", ["PBS", "IAV"])
def test_a_single_group_misses_no_comparison(tmp_path: Path, group: str) -> None:
    rows = f"a.tif,m1,{group},3,\nb.tif,c1,PBS,9,negative\n"
    yaml = CHANNELS + f"reference_group: {group}\n"
    assert notes_of(tmp_path, rows, yaml) == []


def test_a_date_that_excel_made_a_number_is_asked_about(tmp_path: Path) -> None:
    rows = "a.tif,m1,PBS,45366,\nb.tif,m2,PBS,45366,\n"
    found = notes_of(tmp_path, rows)
    assert len(found) == 2 and all("more than a mouse lives" in note for note in found)
