"""The manifest is valid, and everything it names is there."""

from __future__ import annotations

from importlib import import_module

import pytest
from npe2 import PluginManifest

import napari_fociquant
from fociquant.cli.review import find_viewer
from napari_fociquant._reader import get_reader


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-fociquant")


def test_every_command_can_be_imported(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert hasattr(import_module(module), name)


def test_reader_sample_and_widgets_are_there(manifest):
    contributions = manifest.contributions
    assert {widget.display_name for widget in contributions.widgets} == {
        "Study", "Gallery review", "Queue review", "Audit"}  # fmt: skip
    assert contributions.readers[0].accepts_directories
    assert len(contributions.sample_data) == 1
    assert "napari/layers/measure" in contributions.menus


def test_only_results_and_studies_are_read(results, tmp_path):
    assert get_reader(str(results)) is not None
    assert get_reader(str(results.parent)) is not None
    assert get_reader(str(results.parent / "samples.csv")) is not None
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "other.csv").write_text("a\n1\n")
    assert get_reader(str(tmp_path / "other.csv")) is None
    assert get_reader([str(results), str(tmp_path)]) is None


def test_the_command_line_finds_its_entry():
    assert find_viewer().load() is napari_fociquant.review
