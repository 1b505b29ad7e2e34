"""``docs/settings.md`` says what :mod:`fociquant.settings` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from fociquant.cli.settings_reference import AFTER_A_CHANGE, main, page
from fociquant.settings import ROOMS, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def rows() -> dict[str, list[str]]:
    """``room.key`` to the other cells of its row on the page."""
    found, room = {}, ""
    for line in page().splitlines():
        if line.startswith("## "):
            room = line[3:]
        elif line.startswith("| `"):
            key, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            found[f"{room}.{key.strip('`')}"] = cells
    return found


def test_committed_page_is_what_the_settings_say() -> None:
    again = "run: python -m fociquant.cli.settings_reference docs/settings.md"
    assert PAGE.read_text(encoding="utf-8") == page(), again


def test_page_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "settings.md")]) == 0
    assert main([]) == 0
    assert capsys.readouterr().out == (tmp_path / "settings.md").read_text(encoding="utf-8")


def test_every_setting_is_told_with_a_meaning() -> None:
    keys = {
        f"{room}.{key}" for room in ROOMS for key in type(getattr(Settings(), room)).model_fields
    }
    assert set(rows()) == keys
    assert set(AFTER_A_CHANGE) == set(ROOMS)
    assert all(meaning.endswith(".") for _, _, meaning in rows().values())


def test_defaults_and_limits_are_read_as_one_writes_them() -> None:
    said = rows()
    assert said["prepare.overview_um_per_px"][:2] == ["`8`", "1 to 64"]
    assert said["gate.control_phenotype_fraction"][:2] == ["`0.05`", "above 0, below 1"]
    assert said["gate.max_area_um2"][:2] == ["`1200`", "above 0"]
    assert said["gate.min_cells_for_fraction"][:2] == ["`10`", "1 or more"]
    assert said["prepare.mask_fold"][:2] == ["`true`", "`true`, `false`"]
    assert said["review.combine_rule"][:2] == ["`latest`", "`latest`, `majority`"]
    assert said["prepare.stains"][0] == "empty"
