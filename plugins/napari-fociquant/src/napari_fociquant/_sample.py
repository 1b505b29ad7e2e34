"""Sample data: a simulated section that ships with fociquant."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fociquant.io import open_image
from fociquant.study.guess import guess_roles
from napari_fociquant._layers import LayerData, channel_layers

SAMPLE = "images/IAV-15d-1-s1.ome.tif"


def sample_images() -> Path:
    """The folder of sample images: inside the package, or of a checkout."""
    package = Path(str(files("fociquant")))
    packaged = package / "_data" / "sample_images"
    return packaged if packaged.is_dir() else package.parent / "sample_images"


def lung_section() -> list[LayerData]:
    """Layers of one simulated section: marker, nuclei, autofluorescence, Ki67."""
    image = open_image(sample_images() / SAMPLE)
    roles = guess_roles(image.channel_names)
    named = {
        "marker": roles.marker,
        "nucleus": roles.nucleus,
        "autofluorescence": roles.autofluorescence,
        **roles.phenotype,
    }
    indices = {role: image.channel_index(name) for role, name in named.items() if name}
    if image.pixel_size is None:
        return []
    return channel_layers(image, indices, image.pixel_size)
