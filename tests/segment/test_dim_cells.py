"""The embedded network on the hardest simulated cells: hardly brighter than their tissue."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fociquant.run.training_data import scene_planes
from fociquant.segment.decode import decode
from fociquant.segment.registry import load_segmenter
from fociquant.segment.scaling import compress
from fociquant.settings import GateSettings
from fociquant.testing.lung import CHANNELS, randomise, training_scene

SCENES = range(14)
SIZE = 320


def certain(labels: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """Only objects that are sure enough for the gate, numbered without gaps."""
    numbers = np.arange(1, labels.max() + 1)
    score = ndimage.mean(logit, labels, numbers)
    new = np.zeros(len(numbers) + 1, np.int32)
    kept = score >= GateSettings().min_score
    new[1:][kept] = np.arange(1, kept.sum() + 1)
    return new[labels]


def found_and_false(scene, *, unmix: float, number: int) -> tuple[int, int, int]:
    """True cells, those with an object on at least half of them, and objects on no cell."""
    names = {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF"}
    channels = {role: scene.image[CHANNELS.index(name)] for role, name in names.items()}
    planes = scene_planes(channels, np.random.default_rng(number), unmix=unmix)
    output = load_segmenter("compact", device="cpu").flows(compress(planes)[None])[0]
    labels = decode(output, cellprob_threshold=0.0, flow_threshold=0.0, min_area_px=15, steps=100)
    labels = certain(labels, output[2])
    sizes = np.bincount(scene.labels.ravel())
    covered = np.bincount(scene.labels[labels > 0], minlength=len(sizes))
    cells = np.flatnonzero(sizes[1:] >= 40) + 1
    hit = int((covered[cells] >= 0.5 * sizes[cells]).sum())
    on_cells = np.unique(labels[(scene.labels > 0) | scene.ignore])
    return len(cells), hit, int(labels.max()) - len(on_cells[on_cells > 0])


@pytest.fixture(scope="module")
def outcomes():
    """Per scene: (cells, found, false) with the marker as it is and with it unmixed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(randomise, "DIM_FRACTION", 1.0)
        scenes = [training_scene(np.random.default_rng([91, k]), (SIZE, SIZE)) for k in SCENES]
    return {
        unmix: np.array(
            [found_and_false(one, unmix=unmix, number=k) for k, one in enumerate(scenes)]
        )
        for unmix in (0.0, 1.0)
    }


def test_dim_cells_are_found_once_autofluorescence_is_taken_off(outcomes):
    cells, found, false = outcomes[1.0].sum(axis=0)
    assert cells > 200 and found >= 0.8 * cells
    assert false <= 0.02 * cells
    assert found > outcomes[0.0].sum(axis=0)[1]
