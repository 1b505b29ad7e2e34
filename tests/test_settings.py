"""Settings: one home of defaults, units in names, unknown keys refused, stable fingerprints."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fociquant.errors import SettingsError
from fociquant.settings import (
    ROOMS,
    ComputeSettings,
    FociProfile,
    FociSettings,
    GateSettings,
    MeasureSettings,
    PrepareSettings,
    SegmentSettings,
    Settings,
    configs_dir,
    find_config,
    load_profile,
    load_settings,
    preset_names,
    read_yaml,
)

MODELS = (PrepareSettings, SegmentSettings, MeasureSettings, GateSettings, FociSettings)
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]
UNITS = ("_um", "_um2", "_mm2", "_um_per_px", "_px", "_counts")
PURE = (  # ratios, counts, names and logits have no unit
    "_snr", "_fraction", "_ratio", "_threshold", "_solidity", "_score", "_steps", "_tiles",
    "model", "profile", "_difference", "_share", "_nucleus", "_pattern", "stains", "_rgb",
)  # fmt: skip
PRESETS = preset_names()
PROFILES = sorted(path.stem for path in (configs_dir() / "foci").glob("*.yaml"))


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_setting_says_what_it_is_and_in_which_unit(model, name):
    field = model.model_fields[name]
    assert field.description and len(field.description) > 10
    known = (
        name.endswith(UNITS)
        or name.endswith(PURE)
        or name.startswith(("mask_", "correct_", "subtract_"))
    )
    assert known, f"{name}: which unit?"
    if name.endswith(("_um", "_um2", "_mm2")):
        assert "µm" in field.description or "mm²" in field.description


@pytest.mark.parametrize("name", ComputeSettings.model_fields)
def test_every_compute_setting_says_what_it_is(name):
    assert len(ComputeSettings.model_fields[name].description or "") > 10


def another(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return [value + 1, value / 2, value + 0.1]
    if isinstance(value, dict):
        return {"red": [1.0, 0.0, 0.0], "green": [0.0, 1.0, 0.0]}
    if isinstance(value, list):
        return [[1.0, 2.0, 3.0]]
    return ["membrane"] if value == "unknown" else str(value) + "x"


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_setting_changes_the_fingerprint_of_its_room_only(model, name):
    room = next(room for room in ROOMS if type(getattr(Settings(), room)) is model)
    default = getattr(getattr(Settings(), room), name)
    candidates = another(default)
    for value in candidates if isinstance(candidates, list) else [candidates]:
        try:
            changed = Settings.model_validate({room: {name: value}})
        except ValidationError:
            continue
        if getattr(getattr(changed, room), name) != default:
            break
    assert changed.fingerprint() != Settings().fingerprint()
    for other in ROOMS:
        same = changed.fingerprint(other) == Settings().fingerprint(other)
        assert same == (other != room)


def test_the_fingerprint_is_stable_over_time_and_way_of_writing():
    foci = {"link_um": 20, "profile": "chia2025"}
    golden = "e2657dfef5376ae8dafdbdcc59c51393b5546baa8e8f105d182678be759d5951"
    one = Settings.model_validate({"foci": foci}).fingerprint("foci")
    other = Settings.model_validate({"foci": {"profile": "chia2025", "link_um": 20.0}})
    assert other.fingerprint("foci") == one
    assert one == golden


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_and_says_only_what_differs(name):
    settings = load_settings(name, {})
    content = read_yaml(find_config(name, kind="preset"))
    rooms = {room: values for room, values in content.items() if room in ROOMS}
    for room, values in rooms.items():
        for key, value in (values or {}).items():
            assert getattr(getattr(settings, room), key) == value
            assert getattr(getattr(Settings(), room), key) != value, f"{room}.{key} is the default"


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_loads_and_names_its_source(name):
    profile = load_profile(name)
    assert profile.name == name and profile.source


def test_the_default_profile_is_that_of_the_contract():
    limits = [
        (c.name, c.column, c.max_cells, c.below_mm2) for c in load_profile("chia2025").classes
    ]
    assert limits == [
        ("solitary", "solitary", 1, None),
        ("cluster", "clusters", 9, None),
        ("micrometastasis", "micrometastases", None, 0.03),
        ("macrometastasis", "macrometastases", None, None),
    ]


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ({"gate": {"marker_snrr": 3}}, r"gate\.marker_snrr"),
        ({"gates": {"marker_snr": 3}}, "gates"),
        ({"gate": {"marker_snr": "high"}}, r"marker_snr.*'high'"),
        ({"gate": {"marker_snr": math.nan}}, "marker_snr"),
        ({"segment": {"diameter_um": 0}}, "diameter_um"),
        ({"measure": {"ring_outer_um": 1.0}}, "ring_outer_um must be larger"),
        ({"gate": 3}, "gate.*expected 'key: value' lines"),
        ({"gate": None}, "gate.*expected 'key: value' lines"),
    ],
)
def test_wrong_settings_are_refused_with_their_key(overrides, match):
    with pytest.raises(SettingsError, match=match):
        load_settings(None, overrides)


def test_all_wrong_settings_are_told_at_once():
    with pytest.raises(SettingsError) as raised:
        load_settings(None, {"gate": {"a": 1, "b": 2}, "foci": {"link_um": -1}})
    assert len(str(raised.value).splitlines()) == 3


def test_the_study_overrides_the_preset_and_the_preset_the_defaults(tmp_path):
    (tmp_path / "p.yaml").write_text("name: p\ngate: {marker_snr: 9, min_solidity: 0.5}\n")
    settings = load_settings("p.yaml", {"gate": {"marker_snr": 7}}, base=tmp_path)
    assert (settings.gate.marker_snr, settings.gate.min_solidity) == (7, 0.5)
    assert settings.segment == SegmentSettings()


@pytest.mark.parametrize("kind", ["preset", "foci"])
def test_an_unknown_name_lists_those_there_are(kind):
    known = PRESETS if kind == "preset" else PROFILES
    with pytest.raises(SettingsError, match=f"unknown {kind} 'none'. Known: {', '.join(known)}"):
        find_config("none", kind=kind)
    with pytest.raises(SettingsError, match="does not exist"):
        find_config("none.yaml", kind=kind, base=Path("/nowhere"))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("a: [1", "not valid YAML"),
        ("- a\n- b\n", "must hold 'key: value' lines, not a list"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("\x80", "cannot be read"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_name(tmp_path, content, match):
    (tmp_path / "p.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match=rf"p\.yaml.*{match}"):
        read_yaml(tmp_path / "p.yaml")


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([{"name": "a", "column": "a", "max_cells": 3}], "last class must .*every focus"),
        ([{"name": "a", "column": "a"}, {"name": "a", "column": "b"}], "share a name"),
        ([], "at least 1"),
    ],
)
def test_a_profile_must_give_every_focus_one_class(tmp_path, classes, match):
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"name": "p", "classes": classes}))
    with pytest.raises(SettingsError, match=match):
        load_profile("p.yaml", base=tmp_path)


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().gate.marker_snr = 1
    assert isinstance(load_profile("chia2025"), FociProfile)
