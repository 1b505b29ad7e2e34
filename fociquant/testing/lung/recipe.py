"""What a simulated section looks like: every physical parameter, with its unit.

Amounts of light are photo-electrons (``_e``) at the brightest part of a thing, so
that noise follows from them; counts appear only behind the camera.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

CHANNELS: tuple[str, str, str, str] = ("HER2", "DAPI", "AF", "Ki67")
"""Channel names in file order: marker, nuclei, unstained autofluorescence, proliferation."""


@dataclass(frozen=True, slots=True)
class TissueLook:
    """Lung without cancer.

    Sizes are those of the mouse: alveoli of 40-80 µm, septa of a few µm, host nuclei
    of 5-9 µm, alveolar macrophages of 10-20 µm, red cells of 6 µm.
    """

    alveolus_um: float = 52.0
    """Mean distance between the centres of neighbouring air spaces."""
    septum_um: float = 4.5
    """Mean thickness of an alveolar wall."""
    septum_gap_fraction: float = 0.18
    """Part of the walls that is missing: alveoli open into ducts."""
    warp_um: float = 22.0
    """How far walls bend from straight lines."""
    consolidated_fraction: float = 0.0
    """Part of the parenchyma that is consolidated (infected)."""
    consolidated_patch_um: float = 260.0
    """Typical size of such a patch."""
    consolidated_gain: float = 1.7
    """Autofluorescence of consolidated tissue over that of normal walls."""
    nucleus_um: float = 6.5
    """Mean diameter of host nuclei."""
    septal_nucleus_spacing_um: float = 9.5
    """Spacing of the lattice that septal nuclei are drawn from."""
    parenchymal_nucleus_spacing_um: float = 8.5
    """The same for nuclei of consolidated tissue."""
    airway_spacing_um: float = 700.0
    """Spacing of the lattice that airways are drawn from."""
    airway_probability: float = 0.6
    """Chance that a lattice cell holds one."""
    airway_radius_um: float = 70.0
    """Median radius of an airway's lumen."""
    epithelium_um: float = 14.0
    """Height of the airway epithelium."""
    vessel_spacing_um: float = 240.0
    """Spacing of the lattice that vessels are drawn from."""
    vessel_probability: float = 0.45
    """Chance that a lattice cell holds one."""
    vessel_radius_um: float = 17.0
    """Median radius of a vessel's lumen."""
    red_cell_fill: float = 0.6
    """Part of a vessel's lumen filled with red cells."""
    macrophages_per_mm2: float = 60.0
    """Pigmented autofluorescent macrophages in normal tissue."""
    macrophages_per_mm2_consolidated: float = 260.0
    """The same where tissue is consolidated."""
    macrophage_um: float = 14.0
    """Mean diameter."""
    elastin_per_mm2: float = 130.0
    """Bright fibres, most at the free edges of septa."""
    host_ki67_fraction: float = 0.006
    """Ki67 positive host nuclei in normal tissue."""
    host_ki67_fraction_consolidated: float = 0.05
    """The same where tissue is consolidated."""
    texture: float = 0.28
    """Relative standard deviation of tissue brightness at the scale of a few µm."""


@dataclass(frozen=True, slots=True)
class CellLook:
    """Disseminated cancer cells."""

    diameter_um: float = 13.0
    """Mean diameter, membrane included."""
    diameter_cv: float = 0.12
    """Its coefficient of variation within a section."""
    irregularity: float = 0.09
    """Relative amplitude of the outline's harmonics."""
    elongation: float = 0.10
    """Mean relative elongation."""
    roughness: float = 0.03
    """Fine irregularity of the outline, relative to the radius."""
    packing: float = 0.86
    """Distance of neighbours' centres in a focus over the diameter; 0.8 leaves no gap."""
    nucleus_fraction: float = 0.58
    """Nuclear over cellular diameter."""
    nucleus_missing_fraction: float = 0.0
    """Profiles cut beside the nucleus."""
    membrane_um: float = 0.75
    """Thickness (Gaussian sigma) of the stained membrane, before blur."""
    membrane: float = 1.0
    """Share of the marker in the membrane."""
    cytoplasm: float = 0.30
    """Share in the cytoplasm."""
    puncta: float = 0.12
    """Share in grains."""
    cap: float = 0.15
    """0: even ring; 1: the marker sits on one side."""
    brightness_cv: float = 0.28
    """Between cells."""
    ki67_fraction: float = 0.3
    """Positive nuclei."""


@dataclass(frozen=True, slots=True)
class Light:
    """Photo-electrons per pixel at the camera, before shading."""

    marker_e: float = 900.0
    """Membrane of a typical labelled cell, marker channel."""
    marker_unspecific_e: float = 18.0
    """Unspecific stain of tissue, marker channel."""
    marker_epithelium_e: float = 110.0
    """Airway epithelium binds the antibody, marker channel."""
    marker_epithelium_border: float = 0.0
    """Share of that which lies on the borders between its cells, 0 (even) to 1."""
    nucleus_e: float = 620.0
    """Host nucleus, nuclear channel."""
    cell_nucleus_gain: float = 1.0
    """Cancer-cell nuclei relative to host nuclei."""
    ki67_e: float = 520.0
    """Positive nucleus, Ki67 channel."""
    ki67_unspecific_e: float = 10.0
    """Unspecific stain of tissue, Ki67 channel."""
    tissue_af_e: float = 130.0
    """Septa, autofluorescence channel."""
    bright_af_e: float = 520.0
    """Red cells, elastin and pigment, autofluorescence channel."""
    tissue_spectrum: tuple[float, float, float, float] = (0.50, 0.16, 1.0, 0.30)
    """Tissue autofluorescence per channel, relative to the AF channel."""
    bright_spectrum: tuple[float, float, float, float] = (0.55, 0.10, 1.0, 0.55)
    """The same for red cells, elastin and pigment."""
    bleed: tuple[tuple[float, float, float, float], ...] = (
        (1.0, 0.012, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.02, 0.0, 1.0, 0.01),
        (0.0, 0.004, 0.01, 1.0),
    )
    """Row: channel seen; column: dye that leaks into it."""
    glass_e: tuple[float, float, float, float] = (14.0, 9.0, 12.0, 8.0)
    """Background beside the tissue, per channel."""


@dataclass(frozen=True, slots=True)
class Camera:
    """From photo-electrons to counts."""

    psf_um: tuple[float, float, float, float] = (0.38, 0.34, 0.42, 0.46)
    """Gaussian sigma of the blur (optics and section thickness), per channel."""
    haze: float = 0.0
    """Share of the light that comes from out of focus, 0-0.5: a thick section."""
    haze_um: float = 5.0
    """Gaussian sigma of that light."""
    shading: float = 0.10
    """Loss of light from centre to corner of a camera field, 0-0.5."""
    field_px: int = 2048
    """Edge of the square camera field that the scan is stitched from."""
    gain_step: float = 0.02
    """Relative standard deviation of brightness between neighbouring fields."""
    read_noise_e: float = 3.0
    """Standard deviation."""
    counts_per_e: tuple[float, float, float, float] = (4.0, 4.0, 4.0, 4.0)
    """Conversion, per channel (exposure and display scaling differ between channels)."""
    offset_counts: float = 200.0
    """Dark level."""
    bits: int = 16
    """8, 12 or 16: counts saturate at the largest value."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What goes wrong in a preparation."""

    debris_per_mm2: float = 1.5
    """Lint and dust, bright in every channel."""
    folds_per_mm2: float = 0.0
    """Tissue lying double."""
    fold_width_um: float = 35.0
    """Width of a fold."""
    out_of_focus_per_mm2: float = 0.0
    """Blurred patches."""
    out_of_focus_radius_um: float = 120.0
    """Their radius."""
    out_of_focus_sigma_um: float = 3.0
    """Their blur."""


@dataclass(frozen=True, slots=True)
class LungRecipe:
    """Everything that decides how a section looks; the default is a decent 20x scan.

    Parameters
    ----------
    tissue : TissueLook
        Lung without cancer.
    cells : CellLook
        Disseminated cancer cells.
    light : Light
        Brightness of everything, photo-electrons.
    camera : Camera
        Blur, shading, noise, counts.
    artefacts : Artefacts
        Folds, debris, patches out of focus.
    """

    tissue: TissueLook = field(default_factory=TissueLook)
    cells: CellLook = field(default_factory=CellLook)
    light: Light = field(default_factory=Light)
    camera: Camera = field(default_factory=Camera)
    artefacts: Artefacts = field(default_factory=Artefacts)


def infect(recipe: LungRecipe, *, fraction: float) -> LungRecipe:
    """The same section, infected: `fraction` of the parenchyma consolidated (0-1)."""
    light = replace(recipe.light, tissue_af_e=recipe.light.tissue_af_e * 1.2)
    tissue = replace(
        recipe.tissue,
        consolidated_fraction=fraction,
        septum_um=recipe.tissue.septum_um * 1.25,
        macrophages_per_mm2=recipe.tissue.macrophages_per_mm2 * 1.6,
    )
    return replace(recipe, tissue=tissue, light=light)
