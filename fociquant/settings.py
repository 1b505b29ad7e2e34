"""Every setting of fociquant, and the only home of its defaults.

Settings are frozen pydantic models: an unknown key or an impossible value is an
error that names the key. The unit is part of every name. A preset (a file of
``configs/``) and then the study file override the defaults.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fociquant.errors import Problem, SettingsError, said

Room = Literal["prepare", "segment", "measure", "gate", "foci", "immune", "review"]
"""The rooms whose settings change a result; order as the work flows."""

ROOMS: tuple[Room, ...] = ("prepare", "segment", "measure", "gate", "foci", "immune", "review")


class _Frozen(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class PrepareSettings(_Frozen):
    """Facts of a whole section, found once at low resolution."""

    overview_um_per_px: float = Field(8.0, ge=1.0, le=64.0)
    """Pixel size of the overview on which tissue is found, µm."""
    airspace_closing_um: float = Field(60.0, ge=0.0, le=1000.0)
    """Air spaces up to about this width belong to the lung's outline, µm."""
    min_tissue_piece_mm2: float = Field(0.02, ge=0.0)
    """Smaller pieces of tissue are debris, mm²."""
    scale_sample_tiles: int = Field(64, ge=1, le=4096)
    """Full-resolution tiles sampled on a fixed lattice for intensity statistics."""
    stains: dict[str, list[float]] = Field(default_factory=dict, max_length=3)
    """Dyes of a colour image and their optical density in red, green and blue, two or three; they
    become its channels. Empty: the image has fluorescence channels."""
    white_rgb: list[float] = Field(default_factory=list, max_length=3)
    """Red, green and blue of the glass in a colour image, counts; empty: found in each image."""
    correct_shading: bool = True
    """Even out the light of the camera fields that a fluorescence section was stitched from, where
    it repeats from field to field and 15 % or more of it are missing at their borders."""
    subtract_autofluorescence: bool = True
    """Hand the marker to the network less what autofluorescence explains, where there is a channel
    of it; what is measured and judged is the marker as it is."""
    mask_out_of_focus: bool = True
    """Leave out places that are out of focus."""
    mask_fold: bool = True
    """Leave out folds, where tissue lies double."""
    mask_bubble: bool = True
    """Leave out what lies under air bubbles."""
    mask_saturated: bool = True
    """Leave out blotches that are saturated over more than single cells."""
    mask_debris: bool = True
    """Leave out debris brighter than tissue and cells in every channel."""

    @field_validator("stains")
    @classmethod
    def _stains_can_be_told_apart(cls, stains: dict[str, list[float]]) -> dict[str, list[float]]:
        if not stains:
            return stains
        if len(stains) < 2 or any(len(vector) != 3 for vector in stains.values()):
            raise ValueError("two or three stains, each a list of three numbers: red, green, blue")
        if any(min(vector) < 0 or max(vector) <= 0 for vector in stains.values()):
            raise ValueError("the densities of a stain must be 0 or more, and one above 0")
        lengths = [math.hypot(*vector) for vector in stains.values()]
        scaled = zip(stains.values(), lengths, strict=True)
        directions = [[value / length for value in vector] for vector, length in scaled]
        pairs = [(a, b) for k, a in enumerate(directions) for b in directions[:k]]
        if any(sum(x * y for x, y in zip(a, b, strict=True)) > 0.999 for a, b in pairs):
            raise ValueError("two stains have the same colour")
        return stains

    @field_validator("white_rgb")
    @classmethod
    def _white_has_three_colours(cls, white: list[float]) -> list[float]:
        if white and (len(white) != 3 or min(white) <= 0):
            raise ValueError("three numbers above 0: red, green, blue")
        return white


class SegmentSettings(_Frozen):
    """How pixels become objects."""

    model: str = "compact"
    """Embedded model, a Cellpose model name, or the path of a weights file."""
    diameter_um: float = Field(12.0, gt=0.5, le=200.0)
    """Typical cell diameter, µm; images are resampled so that it suits the model."""
    cellprob_threshold: float = Field(0.0, ge=-6.0, le=6.0)
    """Pixels above this logit belong to a cell."""
    flow_threshold: float = Field(0.0, ge=0.0, le=10.0)
    """Objects whose flows disagree by more with a true cell's are dropped; 0 keeps all.
    Cellpose's default is 0.4; for the compact network the check costs cells and much time."""
    min_area_um2: float = Field(12.0, ge=0.0)
    """Smaller objects are noise, µm²."""
    flow_steps: int = Field(100, ge=10, le=2000)
    """Euler steps of Cellpose's dynamics."""


class MeasureSettings(_Frozen):
    """How objects become rows."""

    ring_inner_um: float = Field(2.0, ge=0.0, le=50.0)
    """Gap between an object and the ring of its local background, µm."""
    ring_outer_um: float = Field(8.0, gt=0.0, le=200.0)
    """Outer edge of that ring, µm from the object."""

    @model_validator(mode="after")
    def _ring_has_width(self) -> MeasureSettings:
        if self.ring_outer_um <= self.ring_inner_um:
            raise ValueError("ring_outer_um must be larger than ring_inner_um")
        return self


def score_asked_for(min_score: float, without: float, *, autofluorescence: bool) -> float:
    """Mean logit from which on an object is certain.

    Without an unstained channel only the network stands between a macrophage and a count.

    Parameters
    ----------
    min_score, without : float
        :attr:`GateSettings.min_score` and
        :attr:`GateSettings.without_autofluorescence_min_score`.
    autofluorescence : bool
        Whether there is such a channel.
    """
    return min_score if autofluorescence else max(min_score, without)


class GateSettings(_Frozen):
    """Which objects are labelled cancer cells."""

    min_score: float = Field(2.8, ge=-10.0, le=10.0)
    """Mean cell logit of the network over the object; lower is uncertain."""
    without_autofluorescence_min_score: float = Field(3.5, ge=-10.0, le=10.0)
    """The same where no autofluorescence channel tells macrophages from cells."""
    lining_score: float = Field(3.5, ge=-10.0, le=10.0)
    """Below this mean logit, an object among uncertain ones is taken for airway lining."""
    lining_reach_um: float = Field(30.0, ge=0.0, le=500.0)
    """How far around it uncertain ones are looked for, µm centre to centre."""
    expected_pattern: Literal["unknown", "membrane", "full"] = "unknown"
    """Where the marker is in a cell, if a batch has no unstained channel and too few certain cells
    to tell: in the membrane, or all over it and in its nucleus."""
    crowded_ring_um2: float = Field(100.0, ge=0.0)
    """With less background than this in its ring, a cell is judged against the tissue's, µm²."""
    marker_snr: float = Field(2.0, ge=0.0)
    """Marker beyond what its surroundings and autofluorescence explain, in standard deviations of
    the pixel noise: the floor of the marker threshold, which negative controls may only raise."""
    min_marker_counts: float = Field(0.0, ge=0.0)
    """The same in counts, whatever the noise; stains of colour images have 10 000 per unit of
    optical density."""
    certain_score: float = Field(4.0, ge=-10.0, le=10.0)
    """From this mean logit on the network is certain, which counts only beside an
    autofluorescence channel."""
    certain_marker_fraction: float = Field(0.5, ge=0.0, le=1.0)
    """So much of the floor will do for those."""
    control_false_positives_per_mm2: float = Field(0.02, gt=0.0, le=100.0)
    """The gate is raised until negative controls of the batch show at most this many, 1/mm²."""
    control_max_positives_per_mm2: float = Field(100.0, gt=0.0)
    """A control with more objects that pass the floor than this holds cells: not used, 1/mm²."""
    control_max_loss_fraction: float = Field(0.25, gt=0.0, le=1.0)
    """A control whose gate would reject more of the batch's true cells is not used."""
    nucleus_fraction: float = Field(0.08, ge=0.0, le=1.0)
    """Nuclear stain on the cell, from 0 (darkest) to 1 (brightest nuclei); 0 asks for none."""
    autofluorescence_ratio: float = Field(1.8, ge=0.0)
    """Marker must exceed this multiple of what the autofluorescence channel predicts."""
    pigment_ratio: float = Field(6.0, ge=0.0)
    """The same where marker and autofluorescence have the same grain, as pigment has; twice as much
    where the network is not certain."""
    evident_less_score: float = Field(0.8, ge=0.0)
    """So much less score will do where marker, autofluorescence and nucleus leave no doubt."""
    edge_band_um: float = Field(50.0, ge=0.0, le=2000.0)
    """Cells at most this far inside the lung's edge are in the compartment ``edge``, µm."""
    lumen_band_um: float = Field(30.0, ge=0.0, le=2000.0)
    """Cells at most this far from an airway or an empty vessel are in ``lumen``, µm."""
    tissue_reach_um: float = Field(25.0, ge=0.0, le=500.0)
    """Cells beyond this distance from the lung's outline get a flag, µm: the outline is coarse."""
    min_area_um2: float = Field(32.0, ge=0.0)
    """Smallest cancer-cell profile, µm²: a red cell of a mouse, 6 µm across, has 28."""
    max_area_um2: float = Field(1200.0, gt=0.0)
    """Largest cancer-cell profile, µm²."""
    min_solidity: float = Field(0.7, ge=0.0, le=1.0)
    """Area over convex area; lower is a fibre or an airway lining."""
    phenotype_snr: float = Field(5.0, ge=0.0)
    """Phenotype marker over the cell's surroundings, in standard deviations of the pixel noise."""
    phenotype_fraction: float = Field(0.12, ge=0.0, le=1.0)
    """The same, as a fraction of the channel's range in the batch, from its darkest to its
    brightest level."""
    control_phenotype_fraction: float = Field(0.05, gt=0.0, lt=1.0)
    """Candidates of the controls that may have a phenotype for which the controls are negative."""
    min_cells_for_fraction: int = Field(10, ge=1)
    """Share of cells with a phenotype is not told of fewer cells than this."""


class FociSettings(_Frozen):
    """Which cells form one focus, and the focus's class."""

    link_um: float = Field(20.0, ge=0.0, le=1000.0)
    """Cells whose outlines are at most this far apart form one focus, µm edge to edge."""
    profile: str = "chia2025"
    """Named profile of ``configs/foci/``, or the path of one."""


class ImmuneSettings(_Frozen):
    """Which immune cells are counted around foci, and how far."""

    band_um: float = Field(20.0, ge=5.0, le=1000.0)
    """Width of a band around the foci, µm."""
    reach_um: float = Field(100.0, ge=5.0, le=2000.0)
    """Outer end of the last band, µm from the focus; a whole number of bands."""
    nucleus_um: float = Field(6.5, ge=3.0, le=30.0)
    """Diameter of the nucleus of an immune cell, µm; a lymphocyte's is 6 to 7."""
    nucleus_fraction: float = Field(0.1, ge=0.0, le=1.0)
    """Nuclear stain over what is around a nucleus, as a fraction of the channel's range."""
    fraction: float = Field(0.2, ge=0.0, le=1.0)
    """The same for the immune marker, on more than half of the nucleus's circumference."""
    snr: float = Field(5.0, ge=0.0)
    """Either of them must also exceed this many standard deviations of the pixel noise."""

    @model_validator(mode="after")
    def _bands_fill_the_reach(self) -> ImmuneSettings:
        number = self.reach_um / self.band_um
        if number < 1 or abs(number - round(number)) > 1e-6:
            raise ValueError("reach_um must be a whole number of bands, such as 100 for 20")
        return self


class ReviewSettings(_Frozen):
    """How decisions of reviewers are applied, and how an audit is drawn."""

    combine_rule: Literal["latest", "majority"] = "latest"
    """Reviewers who disagree: the latest decision holds, or that of most of them.
    Those who signed the section off go before those who did not."""
    same_object_iou: float = Field(0.5, ge=0.5, le=1.0)
    """Outlines that share more than this are one object after another segmentation."""
    in_place_iou: float = Field(0.3, ge=0.0, le=1.0)
    """Enough where the centre of each lies in the outline of the other, and of no third."""
    repeat_share: float = Field(0.05, ge=0.0, le=0.5)
    """Share of the objects in a queue that are shown a second time, unannounced."""
    audit_accepted: int = Field(100, ge=1, le=100_000)
    """Counted cells sampled per arm (group and day) for an audit."""
    audit_rejected: int = Field(100, ge=1, le=100_000)
    """Candidates that are not counted, sampled per arm for an audit."""
    audit_fields: int = Field(40, ge=0, le=100_000)
    """Fields of tissue, sampled per arm, in which missed cells are looked for."""
    audit_field_um: float = Field(200.0, ge=20.0, le=5000.0)
    """Edge of such a field, µm."""


class Settings(_Frozen):
    """All settings that can change a result."""

    prepare: PrepareSettings = PrepareSettings()
    segment: SegmentSettings = SegmentSettings()
    measure: MeasureSettings = MeasureSettings()
    gate: GateSettings = GateSettings()
    foci: FociSettings = FociSettings()
    immune: ImmuneSettings = ImmuneSettings()
    review: ReviewSettings = ReviewSettings()

    def fingerprint(self, *rooms: Room) -> str:
        """sha256 (hex) of the settings of these rooms; default: all."""
        chosen = rooms or ROOMS
        content = {room: getattr(self, room).model_dump(mode="json") for room in chosen}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class ComputeSettings(_Frozen):
    """How the work is scheduled; never changes a result."""

    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    workers: int = Field(0, ge=0, le=4096)
    """Worker processes on this computer; 0: threads of this process."""
    scheduler: str | None = None
    """Address of an existing Dask scheduler whose workers do the work, or a cluster file."""
    wait_for_workers_s: float = Field(300.0, ge=0.0)
    """How long to wait until a worker of that scheduler is there, s."""
    threads: int = Field(0, ge=0, le=4096)
    """Threads, of all worker processes together; 0: one per core, as far as memory allows."""
    memory_bytes: int = Field(0, ge=0)
    """Memory for all processes of this computer; 0: half of what it has, limits of the container
    or the batch system included."""
    block_px: int = Field(2048, ge=256)
    """Edge of a block, px; rounded up to whole decode cells."""
    exhaustive: bool = False
    """Look at every block, without screening."""
    fresh: bool = False
    """Forget earlier results in the folder."""


class FociClass(_Frozen):
    """One class of a profile; the first class whose limits a focus meets is its class."""

    name: str
    """As in ``foci.csv``, singular."""
    column: str
    """Its column in ``mice.csv``, plural."""
    max_cells: int | None = None
    """At most this many cells (inclusive); absent: any number."""
    below_mm2: float | None = None
    """Area below this (exclusive), mm²; absent: any area."""


class FociProfile(_Frozen):
    """A named, versioned set of focus classes."""

    name: str
    version: int = Field(1, ge=1)
    source: str = ""
    """Where the limits come from."""
    classes: tuple[FociClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _last_class_takes_all(self) -> FociProfile:
        last = self.classes[-1]
        if last.max_cells is not None or last.below_mm2 is not None:
            raise ValueError("the last class must have no limits, so that every focus has one")
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names) or len({c.column for c in self.classes}) != len(names):
            raise ValueError("two classes share a name or a column")
        return self


CLUSTER_FILES = "cluster_"
"""Files of ``configs/`` whose name begins so describe workers, not a study."""


def configs_dir() -> Path:
    """The folder of presets: shipped inside the package, or ``configs/`` of a checkout."""
    packaged = Path(str(files("fociquant"))) / "_data" / "configs"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "configs"


def preset_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    names = sorted(path.stem for path in configs_dir().glob("*.yaml"))
    return [name for name in names if not name.startswith(CLUSTER_FILES)]


def find_config(name: str, *, kind: Literal["preset", "foci"], base: Path | None = None) -> Path:
    """Path of a preset or a foci profile.

    Parameters
    ----------
    name : str
        A bare name (looked up in ``configs/`` or ``configs/foci/``) or a path
        ending in ``.yaml``, relative to `base`.
    kind : {'preset', 'foci'}
        What is looked for.
    base : Path, optional
        Folder that relative paths start from; default the current one.

    Raises
    ------
    SettingsError
        If there is no such file; the message lists the names there are.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name) if base is None else base / name
        if path.is_file():
            return path
        raise SettingsError(f"{kind} file {path} does not exist. Check the path.")
    folder = configs_dir() / "foci" if kind == "foci" else configs_dir()
    names = preset_names() if kind == "preset" else sorted(p.stem for p in folder.glob("*.yaml"))
    if name in names:
        return folder / f"{name}.yaml"
    raise SettingsError(
        f"unknown {kind} {name!r}. Known: {', '.join(names)}; or give a .yaml path."
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {said(error)}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {said(error)}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold 'key: value' lines, not a {type(content).__name__}.")
    return content


def validation_problems(error: ValidationError, where: str) -> list[Problem]:
    """One :class:`Problem` per pydantic error, naming the dotted key and the value."""
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            what, cure = f"unknown key {key!r}.", "Remove it or correct its spelling."
        else:
            what = f"{item['msg']} (got {item['input']!r})."
            cure = "Correct the value."
        problems.append(Problem(f"{where}, key {key!r}", what, cure))
    return problems


def load_settings(
    preset: str | None, overrides: Mapping[str, Any], *, base: Path | None = None
) -> Settings:
    """Defaults, then a preset, then `overrides`.

    Parameters
    ----------
    preset : str or None
        Preset name or path, see :func:`find_config`.
    overrides : mapping
        Room name to mapping of settings, as in the study file.
    base : Path, optional
        Folder that a relative preset path starts from.

    Returns
    -------
    Settings

    Raises
    ------
    SettingsError
        Unknown preset, unknown key, impossible value; one line per problem.
    """
    merged: dict[str, Any] = {}
    layers = [("study.yaml", overrides)]
    if preset is not None:
        path = find_config(preset, kind="preset", base=base)
        layers.insert(0, (path.name, read_yaml(path)))
    for source, layer in layers:
        for room, values in layer.items():
            if room in ("name", "description"):
                continue
            if not isinstance(values, Mapping):
                raise SettingsError(
                    f"{source}, key {room!r}: expected 'key: value' lines below it."
                )
            merged[room] = merged.get(room, {}) | dict(values)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        lines = [str(problem) for problem in validation_problems(error, "settings")]
        raise SettingsError("\n".join(lines)) from error


def load_profile(name: str, *, base: Path | None = None) -> FociProfile:
    """A foci profile by name or path.

    Raises
    ------
    SettingsError
        Unknown name, unknown key, or limits that leave a focus without a class.
    """
    path = find_config(name, kind="foci", base=base)
    try:
        return FociProfile.model_validate(read_yaml(path))
    except ValidationError as error:
        lines = [str(problem) for problem in validation_problems(error, path.name)]
        raise SettingsError("\n".join(lines)) from error
