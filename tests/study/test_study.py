"""study.yaml: keys, types, presets, and the study as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fociquant.errors import StudyError
from fociquant.settings import (
    GateSettings,
    Settings,
    configs_dir,
    load_profile,
    load_settings,
    preset_names,
)
from fociquant.study import Study, inspect_study, load_study
from fociquant.units import PixelSize

SHEET = "image,mouse,group,dpi\na.tif,m1,PBS,3\nb.tif,m2,IAV,3\n"


def study_in(folder: Path, yaml: str | bytes, *, sheet: str = SHEET) -> Path:
    for name in ("a.tif", "b.tif"):
        (folder / name).touch()
    (folder / "samples.csv").write_text(sheet, encoding="utf-8")
    (folder / "study.yaml").write_bytes(yaml.encode() if isinstance(yaml, str) else yaml)
    return folder / "study.yaml"


def load(folder: Path, yaml: str | bytes) -> Study:
    return load_study(study_in(folder, yaml))


def problems(folder: Path, yaml: str | bytes) -> list[str]:
    return [str(problem) for problem in inspect_study(study_in(folder, yaml)).problems]


CHANNELS = "channels:\n  marker: HER2\n  nucleus: DAPI\n"


def test_the_contract_s_example(tmp_path: Path) -> None:
    study = load(
        tmp_path,
        "name: iav-time-course\nsamples: samples.csv\npreset: her2_if\nreference_group: IAV\n"
        "channels:\n  marker: HER2\n  nucleus: DAPI\n  autofluorescence: AF\n"
        "  phenotype: {Ki67: 3, vim: '4'}\npixel_size_um: null\n"
        "gate:\n  marker_snr: 5\nfoci: {link_um: 30.5, profile: ajcc}\n",
    )
    assert study.name == "iav-time-course"
    assert study.folder == tmp_path
    assert study.groups == ("IAV", "PBS")
    assert study.channels.roles() == {
        "marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF", "Ki67": 3, "vim": "4",
    }  # fmt: skip
    assert study.pixel_size is None
    assert (study.settings.gate.marker_snr, study.settings.foci.link_um) == (5.0, 30.5)
    assert (study.preset, study.profile.name) == ("her2_if", "ajcc")
    assert set(study.sources) == {"samples.csv", "study.yaml"}


def test_markers_of_the_cell_cycle_are_looked_for_in_the_nucleus_unless_said_otherwise(
    tmp_path: Path,
) -> None:
    study = load(
        tmp_path,
        "name: t\nsamples: samples.csv\nchannels:\n  marker: HER2\n  nucleus: DAPI\n  phenotype:\n"
        "    Ki-67: a\n    PCNA: {channel: b}\n    vimentin: c\n"
        "    EdU: {channel: d, compartment: peak}\n",
    )
    rules = {name: rule.compartment for name, rule in study.channels.rules.items()}
    assert rules == {"Ki-67": "nuclear", "PCNA": "nuclear", "vimentin": "peak", "EdU": "peak"}


def test_a_folder_will_do_and_most_keys_have_defaults(tmp_path: Path) -> None:
    study_in(tmp_path, "channels: {marker: 0}\n")
    study = load_study(tmp_path)
    assert (study.name, study.settings) == (tmp_path.name, Settings())
    assert (study.preset, study.reference_group, study.channels.marker) == (None, None, 0)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("0.325", PixelSize(0.325, 0.325)),
        ("[0.5, 0.25]", PixelSize(0.5, 0.25)),
        ("1", PixelSize(1, 1)),
    ],
)
def test_pixel_size(tmp_path: Path, value: str, size: PixelSize) -> None:
    assert load(tmp_path, f"{CHANNELS}pixel_size_um: {value}\n").pixel_size == size


@pytest.mark.parametrize(
    "value",
    ["0,325", "'0.325'", "0", "-1", ".nan", ".inf", "true", "[1]", "[1, 2, 3]", "{y: 1}", "[1, x]"],
)  # fmt: skip
def test_pixel_size_that_is_none(tmp_path: Path, value: str) -> None:
    (message,) = problems(tmp_path, f"{CHANNELS}pixel_size_um: {value}\n")
    assert message.startswith("study.yaml, line 4, key 'pixel_size_um'")
    assert "pixel_size_um: 0.325" in message


def test_text_stays_text(tmp_path: Path) -> None:
    sheet = "image,mouse,group,dpi\na.tif,m1,007,3\nb.tif,m2,NO,3\n"
    yaml = "name: 1e5\nreference_group: 007\nchannels: {marker: NO, nucleus: '488'}\n"
    study = load_study(study_in(tmp_path, yaml, sheet=sheet))
    assert (study.name, study.reference_group) == ("1e5", "007")
    assert (study.channels.marker, study.channels.nucleus) == ("NO", "488")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_the_study_file(tmp_path: Path, encoding: str) -> None:
    study = load(tmp_path, f"name: Mäuse\r\n{CHANNELS}".encode(encoding))
    assert study.name == "Mäuse"


def test_all_problems_of_a_bad_study_file_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "nane: x\npreset: her2_fi\nreference_group: PSB\nchannels:\n  markers: HER2\n"
        "  nucleus: DAPI\n  autofluorescence: DAPI\n  phenotype: {=Ki67: 3}\n"
        "segment: 5\ngate:\n  marker_snt: 3\n  min_solidity: 2\n"
        "foci:\n  link_um: true\n  profile: chia\n",
    )
    text = "\n".join(found)
    for part in (
        "line 1, key 'nane': unknown key 'nane'. Did you mean 'name'?",
        "line 2, key 'preset': unknown preset 'her2_fi'. Did you mean 'her2_if'?",
        "line 3, key 'reference_group': 'PSB' is not a group of the sample sheet. "
        "Did you mean 'PBS'?",
        "line 5, key 'channels.markers': unknown key 'markers'. Did you mean 'marker'?",
        "line 4, key 'channels.marker': no channel is named.",
        "line 7, key 'channels.autofluorescence': 'DAPI' is already the nucleus.",
        "line 8, key 'channels.phenotype.=Ki67': '=Ki67' cannot name a phenotype.",
        "line 9, key 'segment': 5 stands where settings of 'segment' belong.",
        "line 11, key 'gate.marker_snt': unknown key 'gate.marker_snt'. Did you mean 'marker_snr'?",
        "line 12, key 'gate.min_solidity': Input should be less than or equal to 1 (got 2).",
        "line 14, key 'foci.link_um': Input should be a valid number (got True).",
        "line 15, key 'foci.profile': unknown foci profile 'chia'. Did you mean 'chia2025'?",
    ):
        assert part in text
    assert len(found) == 12


def test_a_decimal_comma_between_braces_is_explained(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, f"{CHANNELS}foci: {{link_um: 20,5}}\n")
    assert "unknown key 'foci.5'" in found and "write decimals with a point" in found


def test_problems_of_both_files_come_together(tmp_path: Path) -> None:
    path = study_in(
        tmp_path, "channels: {marker: [1]}\n", sheet="image,mouse,group,dpi\nz.tif,m,P,x\n"
    )
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert [problem.where.split(",")[0] for problem in caught.value.problems] == [
        "study.yaml", "samples.csv", "samples.csv",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("yaml", "parts"),
    [
        ("a: b: c\n", ["study.yaml, line 1, column 5", "not valid YAML"]),
        ("channels:\n\tmarker: x\n", ["line 2, column 1", "'\\t'", "spaces"]),
        ("- a\n- b\n", ["holds no 'key: value' lines"]),
        ("just text", ["holds no 'key: value' lines"]),
        ("", ["key 'channels': is missing"]),
        ("name: a\nname: b\n" + CHANNELS, ["line 2, key 'name': the key is already on line 1"]),
        (f"name: &a x\nsamples: *a\n{CHANNELS}", ["line 1", "an alias"]),
        (f"name: !!python/object:os.system x\n{CHANNELS}", ["line 1, key 'name'", "no plain"]),
        (f"name: !!set {{a, b}}\n{CHANNELS}", ["the tag 'tag:yaml.org,2002:set'"]),
        (f"name: a\n---\nname: b\n{CHANNELS}", ["expected a single document"]),
        (f"name: [1]\n{CHANNELS}", ["key 'name': is a list"]),
        (f"? {{a: 1}}\n: 2\n{CHANNELS}", ["a key that is not text"]),
        ("[" * 2000, ["study.yaml"]),
        ("name: \x07\n", ["the study file is not a text file. Save it as UTF-8 text."]),
        ("channels: {marker: -1}\n", ["-1 is no channel index"]),
        ("channels: {marker: x, phenotype: [a]}\n", ["phenotype: {Ki67: Ki67}"]),
        ("channels: {marker: x, phenotype: {nucleus: a}}\n", ["'nucleus' cannot name a phenotype"]),
        ("channels: {marker: x, phenotype: {Ki67: }}\n", ["phenotype.Ki67': no channel is named"]),
        (f"{CHANNELS}  phenotype: {{zero: a}}\n", ["phenotype.zero'", "a column 'zero_note'"]),
        (f"{CHANNELS}  phenotype: {{artefact: a}}\n", ["a column 'artefact_pct'"]),
        (f"{CHANNELS}preset: ../p.yaml\n", ["line 4, key 'preset'", "leads out", "absolute"]),
        (f"{CHANNELS}preset: p.yaml\n", ["line 4, key 'preset'", "does not exist"]),
        (f"{CHANNELS}foci: {{profile: ../p.yaml}}\n", ["key 'foci.profile'", "leads out"]),
        (f"{CHANNELS}samples: ../samples.csv\n", ["key 'samples'", "leads out"]),
        (f"{CHANNELS}samples: sheet.csv\n", ["sheet.csv: the sample sheet does not exist"]),
        (f"{CHANNELS}samples: .\n", ["is a folder, not a file"]),
        (f"{CHANNELS}measure: {{ring_outer_um: 1}}\n", ["key 'measure'", "must be larger than"]),
    ],
)  # fmt: skip
def test_each_fault_is_named(tmp_path: Path, yaml: str, parts: list[str]) -> None:
    (tmp_path / "study").mkdir()
    text = "\n".join(problems(tmp_path / "study", yaml))
    assert [part for part in parts if part not in text] == []


def test_a_broken_study_file_does_not_hide_the_sheet(tmp_path: Path) -> None:
    path = study_in(tmp_path, "name: [\n", sheet="image,mouse,group,dpi\nz.tif,m,P,x\n")
    text = "\n".join(str(problem) for problem in inspect_study(path).problems)
    assert "not valid YAML" in text
    assert "'z.tif' does not exist" in text
    assert "channels" not in text


def test_absent_study_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "x.yaml", tmp_path / ("x" * 300)):
        with pytest.raises(StudyError, match=r"does not exist|cannot be read"):
            load_study(path)
    study_in(tmp_path, CHANNELS)
    with pytest.raises(StudyError, match=r"ends in \.yaml"):
        load_study(tmp_path / "samples.csv")


def test_own_preset_beside_the_study_and_its_own_profile(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "ours.yaml").write_text("gate: {marker_snr: 7}\nfoci: {profile: classes.yaml}\n")
    (lab / "classes.yaml").write_text("name: ours\nclasses: [{name: any, column: any}]\n")
    study = load(tmp_path, f"{CHANNELS}preset: lab/ours.yaml\ngate: {{nucleus_fraction: 0.5}}\n")
    assert (study.settings.gate.marker_snr, study.settings.gate.nucleus_fraction) == (7.0, 0.5)
    assert study.profile.name == "ours"


@pytest.mark.parametrize("written", ["lab/ours.pt", r"lab\ours.pt", "./plain", "ours.pt"])
def test_own_weights_are_sought_beside_the_study(tmp_path: Path, written: str) -> None:
    (tmp_path / "lab").mkdir()
    for name in ("lab/ours.pt", "plain"):
        (tmp_path / name).write_bytes(b"")
    model = load(tmp_path, f"{CHANNELS}segment: {{model: '{written}'}}\n").settings.segment.model
    beside = {"./plain": "plain", "ours.pt": None}.get(written, "lab/ours.pt")
    assert model == (written if beside is None else str(tmp_path / beside))


def test_a_file_with_the_name_of_a_model_does_not_replace_it(tmp_path: Path) -> None:
    (tmp_path / "compact").write_bytes(b"")
    assert load(tmp_path, CHANNELS).settings.segment.model == "compact"


@pytest.mark.parametrize("column", ["foci", "cells", "link_um", "Ki67_pct"])
def test_a_class_with_the_name_of_another_column(tmp_path: Path, column: str) -> None:
    (tmp_path / "p.yaml").write_text(f"name: ours\nclasses: [{{name: any, column: {column}}}]\n")
    yaml = f"{CHANNELS}  phenotype: {{Ki67: a}}\nfoci: {{profile: p.yaml}}\n"
    (message,) = problems(tmp_path, yaml)
    assert "line 5, key 'foci.profile': the tables have a column" in message
    assert repr(column) in message


def test_fault_in_an_own_preset(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("gate: {marker_snt: 7}\n")
    (message,) = problems(tmp_path, f"{CHANNELS}preset: ours.yaml\n")
    assert "key 'preset'" in message
    assert "gate.marker_snt" in message


def test_fingerprint_knows_what_matters(tmp_path: Path) -> None:
    first = load(tmp_path, CHANNELS)
    assert (
        first.fingerprint() == load(tmp_path, f"# comment\nname: other\n{CHANNELS}").fingerprint()
    )
    lines = SHEET.splitlines()
    turned = "\n".join([lines[0], lines[2], lines[1]])
    assert (
        load_study(study_in(tmp_path, CHANNELS, sheet=turned)).fingerprint() == first.fingerprint()
    )
    other = load(tmp_path, f"{CHANNELS}gate: {{marker_snr: 9}}\n")
    assert other.fingerprint() != first.fingerprint()
    moved = tmp_path / "moved"
    moved.mkdir()
    assert load(moved, CHANNELS).fingerprint() == first.fingerprint()


PRESETS = preset_names()
PROFILES = sorted(path.stem for path in (configs_dir() / "foci").glob("*.yaml"))


def test_the_shipped_configs() -> None:
    assert {"her2_if", "gfp_if", "tdtomato_if"} <= set(PRESETS)
    assert {"chia2025", "ajcc"} <= set(PROFILES)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_loads_and_says_only_what_differs(preset: str) -> None:
    settings, defaults = load_settings(preset, {}), Settings()
    assert settings != defaults
    membrane = Settings(gate=GateSettings(expected_pattern="membrane"))
    assert (settings == membrane) == (preset == "her2_if")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_the_columns_of_the_results(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert [c.column for c in profile.classes] == [
        "solitary", "clusters", "micrometastases", "macrometastases",
    ]  # fmt: skip


def test_ajcc_sizes_are_discs_of_the_clinic_s_diameters() -> None:
    _, cluster, micro, _ = load_profile("ajcc").classes
    assert cluster.below_mm2 == pytest.approx(math.pi * 0.1**2, rel=1e-5)
    assert micro.below_mm2 == pytest.approx(math.pi * 1.0**2, rel=1e-5)


def test_the_examples_of_the_guide(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "study_files.md"
    text = guide.read_text(encoding="utf-8")
    sheet, yaml = (
        text.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("csv", "yaml")
    )
    (tmp_path / "slides").mkdir()
    for name in ("PBS_m1_s1", "IAV_m2_s1", "IAV_m2_s2", "wildtype"):
        (tmp_path / "slides" / f"{name}.ome.tif").touch()
    study = load_study(study_in(tmp_path, yaml, sheet=sheet))
    assert list(study.mice) == ["007", "1E5", "3-1"]
    assert study.settings.gate.marker_snr == 5.0
    for preset in PRESETS:
        assert f"`{preset}`" in text
    for profile in PROFILES:
        assert f"`{profile}`" in text
