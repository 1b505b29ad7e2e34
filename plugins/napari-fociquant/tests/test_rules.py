"""What needs no window: keys, settings, the outline of a click, sides of a line, drafts."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import shapely

from fociquant.errors import StudyError
from fociquant.io import open_image
from fociquant.store import ResultsFolder
from fociquant.units import PixelSize
from napari_fociquant import _child
from napari_fociquant._config import load_config, save_config
from napari_fociquant._draft import open_draft, place_problems, save_draft
from napari_fociquant._keys import ACTIONS, effective_keys, shared_keys
from napari_fociquant._queue import sides
from napari_fociquant._results import Results
from napari_fociquant._sample import lung_section, sample_images
from napari_fociquant._segment import CIRCLE, OUTLINED, outline_at

MODULES = ("_reader", "_launch", "_qt.study_widget", "_qt.gallery_widget", "_qt.queue_widget",
           "_qt.audit_widget")  # fmt: skip


def test_the_window_never_imports_a_network():
    imports = "; ".join(f"import napari_fociquant.{name}" for name in MODULES)
    check = "import sys; print([m for m in ('torch', 'cellpose', 'triton') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", f"{imports}; {check}"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_every_action_has_a_key_of_its_own():
    keys, problems = effective_keys({})
    assert set(keys) == {action.name for action in ACTIONS}
    assert len({key.casefold() for key in keys.values()}) == len(keys)
    assert not problems


def test_a_key_can_be_set_to_another_one():
    keys, problems = effective_keys({"accept": "Y"})
    assert keys["accept"] == "Y"
    assert not problems


def test_the_key_that_was_set_goes_before_a_default():
    keys, problems = effective_keys({"accept": "R", "dance": "D"})
    assert (keys["accept"], keys["reject"]) == ("R", "")
    assert len(problems) == 2
    assert "unknown action 'dance'" in problems[0]


def test_an_action_may_have_no_key():
    keys, problems = effective_keys({"merge": " ", "split": ""})
    assert keys["merge"] == keys["split"] == ""
    assert not problems


def test_a_key_that_would_do_two_things_is_said_in_words():
    assert shared_keys({"accept": "a", "reject": "A", "merge": "", "split": ""}) == [
        "A would do two things: accept and reject."]  # fmt: skip
    assert shared_keys(effective_keys({})[0]) == []


def test_settings_come_back_and_a_damaged_file_is_said(own_settings):
    config = load_config()
    config.keys["accept"] = "Y"
    save_config(config)
    assert load_config().keys == {"accept": "Y"}
    own_settings.write_text("{")
    assert "cannot be read" in load_config().problem
    assert load_config().reviewer == ""


def spot(radius_um, pixel_um=0.5, height=400.0, size=96):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] * pixel_um + pixel_um / 2
    distance = np.hypot(y - size * pixel_um / 2, x - size * pixel_um / 2)
    return rng.normal(100, 5, (size, size)) + height * (distance < radius_um)


def test_a_click_on_a_disc_gives_its_outline():
    pixels = spot(6.0)
    found = outline_at(
        pixels, (100.0, 200.0), PixelSize.square(0.5), (122.0, 226.0), diameter_um=12.0
    )
    area = shapely.Polygon(found.outline).area
    assert found.how == OUTLINED
    assert area == pytest.approx(np.pi * 36, rel=0.1)
    assert found.outline.mean(axis=0) == pytest.approx([124.0, 224.0], abs=0.6)


def test_a_click_between_two_discs_takes_the_one_it_is_on():
    size = 96
    y, x = np.mgrid[:size, :size] * 0.5 + 0.25
    pixels = 100 + np.random.default_rng(1).normal(0, 5, (size, size))
    for centre in (18.5, 29.5):
        pixels = np.maximum(pixels, 100 + 400 * np.exp(-((y - 24) ** 2 + (x - centre) ** 2) / 30))
    found = outline_at(pixels, (0.0, 0.0), PixelSize.square(0.5), (24.0, 18.0), diameter_um=12.0)
    assert found.how == OUTLINED
    assert found.outline[:, 1].max() < 25.5


def test_a_click_where_nothing_is_gives_a_circle_and_says_so():
    pixels = np.random.default_rng(0).normal(100, 5, (96, 96))
    found = outline_at(pixels, (0.0, 0.0), PixelSize.square(0.5), (20.0, 30.0), diameter_um=12.0)
    assert found.how == CIRCLE
    assert shapely.Polygon(found.outline).area == pytest.approx(np.pi * 36, rel=0.03)


def test_points_fall_on_either_side_of_a_line():
    y, x = np.array([0.0, 0.0, 5.0]), np.array([-1.0, 1.0, 2.0])
    left, right = sides(y, x, np.array([[-10.0, 0.0], [10.0, 0.0]]))
    assert left.tolist() == [0]
    assert right.tolist() == [1, 2]


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of two images whose names say everything."""
    folder = tmp_path / "new study"
    folder.mkdir()
    source = (sample_images() / "images" / "PBS-03d-1-s1.ome.tif").read_bytes()
    for name in ("PBS_3dpi_m01_s1", "IAV_3dpi_m02_s1"):
        (folder / f"{name}.ome.tif").write_bytes(source)
    return folder


def test_a_folder_of_images_becomes_a_proposal(images):
    draft = open_draft(images)
    assert draft.study_yaml is None
    assert draft.rows[1][:4] == ("PBS_3dpi_m01_s1.ome.tif", "m01", "PBS", "3")
    assert draft.channels == ("DAPI", "HER2", "AF", "Ki67") or set(draft.channels) == {
        "HER2", "DAPI", "AF", "Ki67"}  # fmt: skip
    assert draft.roles.marker == "HER2"
    assert "look them over" in draft.notes[0]


def test_what_is_saved_is_read_again(images):
    draft = open_draft(images)
    rows = [list(row) for row in draft.rows]
    rows[0][1] = "007"
    assert sorted(save_draft(draft.with_rows(rows))) == ["samples.csv", "study.yaml"]
    again = open_draft(images / "study.yaml")
    assert again.rows[0][1] == "007"
    assert "marker: HER2" in again.study_yaml
    save_draft(again.with_rows(again.rows))
    assert open_draft(images).rows == again.rows


def test_problems_are_put_at_their_cell(images):
    draft = open_draft(images)
    rows = [list(row) for row in draft.rows]
    rows[1][3] = "soon"
    save_draft(draft.with_rows(rows))
    draft = open_draft(images)
    out = subprocess.run(
        [sys.executable, "-m", "fociquant", "check", str(images), "--json", "--no-images"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    placed = place_problems(draft, json.loads(out.stdout)["problems"])
    assert [(one.row, one.column) for one in placed] == [(1, "dpi")]
    assert "soon" in placed[0].text


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(StudyError, match="holds no section images"):
        open_draft(tmp_path)


def test_the_sample_is_a_section_in_micrometres():
    layers = {arguments["name"]: arguments for _, arguments, _ in lung_section()}
    assert set(layers) == {"HER2", "DAPI", "AF", "Ki67"}
    assert layers["HER2"]["scale"] == (0.65, 0.65)
    assert layers["HER2"]["translate"] == (0.325, 0.325)
    assert layers["HER2"]["visible"]
    assert not layers["AF"]["visible"]


def test_an_image_that_was_named_on_windows_is_found_elsewhere(tmp_path):
    source = next((sample_images() / "images").glob("*.ome.tif"))
    (tmp_path / "slides").mkdir()
    shutil.copy(source, tmp_path / "slides" / "a.tif")
    with open_image(source) as image:
        fingerprint = image.fingerprint
    results = Results.__new__(Results)
    results.folder = ResultsFolder(tmp_path / "results")
    results.record = {
        "sections": [{"name": "a", "image": "slides\\a.tif"}],
        "images": {"a": {"fingerprint": fingerprint}},
    }
    with results.open_section_image("a", []) as image:
        assert image.fingerprint == fingerprint


@pytest.mark.parametrize("end", [(5, 0), BrokenPipeError(32, "The pipe has been ended")])
def test_on_windows_no_read_of_standard_input_stands_while_libraries_are_loaded(monkeypatch, end):
    """They ask what it is, and would wait until the window says something: for ever."""
    looks = [(0, 0), (0, 0), end]

    def peek(handle):
        assert handle == "a pipe"
        look = looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look

    for name, function, does in (
        ("_winapi", "PeekNamedPipe", peek),
        ("msvcrt", "get_osfhandle", lambda number: {0: "a pipe"}[number]),
    ):
        module = ModuleType(name)
        setattr(module, function, does)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("child_on_windows", _child.__file__)
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    monkeypatch.setattr(child, "LISTEN_S", 0.0)
    monkeypatch.setattr(child.os, "read", None)
    child._hear(0)
    monkeypatch.undo()
    assert looks == []


def test_nothing_is_left_of_a_section_that_failed(monkeypatch):
    told = []
    monkeypatch.setattr(_child, "say", lambda event, **facts: told.append((event, facts)))
    events = _child.Events()
    events.failed("s9", "found before anything is started")
    events.start({"s0": 400, "s1": 400})
    events.advance("s0", 100)
    events.failed("s0", "damaged")
    events.advance("s1", 400)
    events.done("s1")
    assert told[-1] == ("done", {"section": "s1", "seen": 800, "pixels": 800})
