"""The second look: lobed nuclei stay whole, neighbours stay two, and only what is near matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.errors import ModelError
from fociquant.run import scene as run_scene
from fociquant.run.images import SegmentRequest, segment_image
from fociquant.segment import debris, load_segmenter, specks, touching
from fociquant.segment.decode import decode
from fociquant.segment.late import embedded_weights, file_sha256
from fociquant.segment.second_look import (
    SecondLook,
    embedded_trees,
    load_second_look,
    save_second_look,
    second_look_for,
)
from fociquant.segment.shape import ellipses, sums
from fociquant.segment.training.boosting import BoostingPlan, fit_trees
from fociquant.segment.trees import Trees
from fociquant.settings import SegmentSettings
from fociquant.testing.segmenters import UphillSegmenter, cones

FIELD = (80, 90)
ASKED = SegmentRequest(None, None, 24.0, SegmentSettings())


@pytest.fixture(scope="module")
def look():
    return load_second_look(embedded_trees())


def towards(centre):
    """Unit flow to a centre."""
    y, x = np.indices(FIELD, dtype=float)
    flow = np.stack([centre[0] - y, centre[1] - x])
    return flow / np.maximum(np.hypot(*flow), 1e-6)


def distance(centre):
    y, x = np.indices(FIELD, dtype=float)
    return np.hypot(y - centre[0], x - centre[1])


def two_discs():
    """Touching; flows turn round at the border, where the logit drops."""
    centres = [(40, 31), (40, 55)]
    apart = np.stack([distance(centre) for centre in centres])
    inside, own = apart.min(axis=0) <= 12.5, apart.argmin(axis=0)
    flow = np.where(own == 0, towards(centres[0]), towards(centres[1]))
    logit = 9.0 * (1.0 - apart.min(axis=0) / 12.5)
    output = np.concatenate([5.0 * flow * inside, np.maximum(logit, -6.0)[None]])
    return np.where(inside, own + 1, 0).astype(np.int32), output.astype(np.float32)


def lobed_disc():
    """One outline split in two where flows turn slowly and the logit stays."""
    inside = np.minimum(distance((40, 40)), distance((40, 51))) <= 12
    _, x = np.indices(FIELD)
    share = 1.0 / (1.0 + np.exp((x - 45.5) / 5.0))
    flow = share * towards((40, 40)) + (1.0 - share) * towards((40, 51))
    depth = ndimage.distance_transform_edt(inside)
    logit = np.where(inside, np.minimum(1.5 * depth, 7.0), -5.0)
    output = np.concatenate([5.0 * flow * inside, logit[None]])
    return np.where(inside, 1 + (x > 45), 0).astype(np.int32), output.astype(np.float32)


def speck(centre, radius, *, logit, meeting):
    """Network output of one small round spot beside nothing."""
    inside = distance(centre) <= radius
    flow = towards(centre) if meeting else -towards(centre)
    value = np.where(inside, logit, -6.0)
    return np.concatenate([3.5 * flow * inside, value[None]]).astype(np.float32), inside


def test_two_touching_discs_stay_two(look):
    labels, output = two_discs()
    np.testing.assert_array_equal(look(labels.copy(), output), labels)


def test_a_lobed_disc_becomes_whole(look):
    labels, output = lobed_disc()
    assert labels.max() == 2
    np.testing.assert_array_equal(look(labels, output) > 0, labels > 0)
    assert look(labels, output).max() == 1


def test_nothing_stays_nothing(look):
    output = np.zeros((3, 40, 50), np.float32)
    output[2] = -100.0
    found = look(np.zeros((40, 50), np.int32), output)
    assert found.dtype == np.int32 and not found.any()


def test_labels_that_are_given_are_not_changed(look):
    labels, output = lobed_disc()
    before = labels.copy()
    look(labels, output)
    np.testing.assert_array_equal(labels, before)


def test_a_speck_touches_no_object_and_has_the_size_of_one():
    output, inside = speck((40, 40), 2.2, logit=1.0, meeting=True)
    found = specks.specks(np.zeros(FIELD, np.int32), output)
    assert len(found.places) == 1 and found.features[0, 0] == inside.sum()
    np.testing.assert_array_equal(np.stack(found.places[0]), np.nonzero(inside))
    assert len(specks.specks(inside.astype(np.int32), output).places) == 0
    big, _ = speck((40, 40), 7.0, logit=1.0, meeting=True)
    assert len(specks.specks(np.zeros(FIELD, np.int32), big).places) == 0


def test_what_is_known_of_a_speck():
    output, inside = speck((40, 40), 3.0, logit=1.0, meeting=True)
    labels = np.zeros(FIELD, np.int32)
    labels[40, 55:60] = 1
    known = dict(zip(specks.FEATURES, specks.specks(labels, output).features[0], strict=True))
    assert known["area"] == inside.sum() and known["axes"] == pytest.approx(1.0)
    assert known["logit"] == known["logit_max"] == 1.0 and known["logit_around"] == -6.0
    assert known["distance"] == 15.0 and 0.4 < known["meet"] < known["flow"] < 0.71
    away, _ = speck((40, 40), 3.0, logit=1.0, meeting=False)
    meet = specks.FEATURES.index("meet")
    assert specks.specks(labels, away).features[0, meet] == pytest.approx(-known["meet"])


def test_small_objects_and_what_touches_them():
    labels = np.zeros((30, 30), np.int32)
    labels[0:4, 0:5], labels[0:4, 5:9], labels[8:28, 8:28] = 1, 2, 3
    names, features = debris.small_objects(labels, np.ones((3, 30, 30), np.float32))
    assert names.tolist() == [1, 2]
    known = dict(zip(debris.FEATURES, features.T, strict=True))
    assert known["area"].tolist() == [20.0, 16.0] and known["at_edge"].tolist() == [1.0, 1.0]
    assert known["beside"] == pytest.approx([4 / 20**0.5, 4 / 16**0.5])


def test_the_border_of_two_discs():
    labels, output = two_discs()
    pairs, features = touching.touching(labels, output)
    known = dict(zip(touching.FEATURES, features[0], strict=True))
    assert pairs.tolist() == [[1, 2]] and known["turn"] > 1.9 and known["drop_less"] > 2.0
    assert known["length"] == np.count_nonzero((labels[:, :-1] == 1) & (labels[:, 1:] == 2))


def test_ellipses_have_the_moments_of_what_they_stand_for():
    y, x = np.indices((101, 121))
    disc = ((y - 50) / 20) ** 2 + ((x - 60) / 40) ** 2 <= 1
    rows, columns = np.nonzero(disc)
    found = ellipses(sums(rows, columns, np.zeros(len(rows), int), 1))
    assert found.y == pytest.approx(50) and found.x == pytest.approx(60)
    assert found.long == pytest.approx(80, rel=0.01) and found.short == pytest.approx(40, rel=0.01)
    assert found.fill == pytest.approx(1.0, abs=0.01)


def random_output(seed, shape=(260, 300)):
    """Network output with lobed basins and specks."""
    rng = np.random.default_rng(seed)
    surface = ndimage.gaussian_filter(rng.normal(size=shape), 5.0)
    surface += 0.02 * ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    slope = np.stack(np.gradient(surface))
    slope *= 5.0 / np.maximum(np.hypot(*slope), 1e-3)
    logit = 90.0 * (surface - np.quantile(surface, rng.uniform(0.4, 0.8)))
    return np.concatenate([slope, logit[None]]).astype(np.float32)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(0, 60))
def test_only_what_is_near_matters(seed, top, left):
    """A smaller array that holds an object, its neighbours and a margin gives the same object."""
    look = load_second_look(embedded_trees())
    output = random_output(seed)
    labels = decode(output, cellprob_threshold=0.0, flow_threshold=0.0, min_area_px=30, steps=100)
    whole = look(labels, output)
    part = (slice(top, top + 200), slice(left, left + 240))
    cut = look(np.ascontiguousarray(labels[part]), np.ascontiguousarray(output[(..., *part)]))
    cores = (labels[part] > 0) | (output[2][part] > specks.LOGIT)
    islands, count = ndimage.label(ndimage.binary_dilation(cores, iterations=1))
    border = np.zeros(islands.shape, bool)
    border[: specks.REACH_PX + 8], border[-specks.REACH_PX - 8 :] = True, True
    border[:, : specks.REACH_PX + 8], border[:, -specks.REACH_PX - 8 :] = True, True
    apart = np.setdiff1d(np.arange(1, count + 1), islands[border])
    for number in apart.tolist():
        here = islands == number
        one, other = whole[part][here], cut[here]
        assert len(np.unique(one)) == len(np.unique(other)) == len({*zip(one, other, strict=True)})


def test_trees_learn_a_rule_and_survive_a_file(tmp_path, look):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 4))
    yes = (features[:, 1] > 0.3) ^ (features[:, 3] > 0)
    trees = fit_trees(features, yes, np.ones(600), BoostingPlan(trees=60, rate=0.2, ridge=1.0))
    new = rng.normal(size=(500, 4))
    right = (trees.chance(new) > 0.5) == ((new[:, 1] > 0.3) ^ (new[:, 3] > 0))
    assert right.mean() > 0.93
    save_second_look(replace(look, joins=trees), tmp_path / "a.npz")
    again = load_second_look(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.joins.chance(new), trees.chance(new))
    assert again.network_sha256 == look.network_sha256


def test_fitting_again_gives_the_same_trees():
    rng = np.random.default_rng(1)
    features, yes = rng.normal(size=(200, 3)), rng.random(200) > 0.5
    one, other = (fit_trees(features, yes, np.ones(200), BoostingPlan(trees=5)) for _ in "ab")
    np.testing.assert_array_equal(one.leaf, other.leaf)
    np.testing.assert_array_equal(one.split, other.split)


def test_a_tree_asks_from_the_root_down():
    tree = Trees(
        np.array([[0, 1, 1]]), np.array([[0.0, 5.0, -5.0]]), np.array([[1.0, 2.0, 3.0, 4.0]]), 0.5
    )
    rows = np.array([[-1.0, 5.0], [-1.0, 6.0], [1.0, -5.0], [1.0, 0.0]])
    np.testing.assert_array_equal(tree.logit(rows), [1.5, 2.5, 3.5, 4.5])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"\x93NUMPY"])
def test_a_damaged_file_is_said_to_be_one(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="holds no trees"):
        load_second_look(path)


def test_a_file_of_something_else_is_said_to_be_one(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.arange(3))
    with pytest.raises(ModelError, match="holds no trees"):
        load_second_look(tmp_path / "a.npz")


def test_the_trees_were_fitted_to_the_weights_that_ship(look):
    assert look.network_sha256 == file_sha256(embedded_weights())
    info = load_segmenter("compact", device="cpu").info
    assert isinstance(second_look_for(info), SecondLook)
    assert second_look_for(UphillSegmenter().info) is None
    sizes = [len(names.FEATURES) for names in (touching, debris, specks)]
    trees = (look.joins, look.debris, look.specks)
    assert all(tree.feature.max() < size for tree, size in zip(trees, sizes, strict=True))


def segmented(path, request, *, threads=1):
    segment_image(path, path.with_name("out.tif"), request, SEGMENTER, threads=threads)
    return tifffile.imread(path.with_name("out.tif"))


SEGMENTER = UphillSegmenter()


def test_it_looks_at_one_grey_channel_and_not_at_two(tmp_path, monkeypatch, look):
    seen = []
    monkeypatch.setattr(run_scene, "second_look_for", lambda info: seen.append(info) or None)
    image = cones((120, 130), [(40, 40), (80, 90)], 24)
    tifffile.imwrite(tmp_path / "one.tif", image)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([image, image]), metadata={"axes": "CYX"})
    assert segmented(tmp_path / "one.tif", ASKED).max() == 2 and len(seen) == 1
    assert segmented(tmp_path / "two.tif", replace(ASKED, nucleus=1, marker=0)).max() == 2
    assert len(seen) == 1


def test_seams_and_threads_change_nothing(tmp_path, monkeypatch, look):
    """Two decode cells, with pairs of discs across their seam at 1024."""
    monkeypatch.setattr(run_scene, "second_look_for", lambda info: look)
    centres = [(y, x + 11 * part) for y in range(30, 1100, 46) for x in (30, 90, 150)
               for part in (0, 1)]  # fmt: skip
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, cones((1130, 200), centres, 22))
    one, many = (segmented(path, ASKED, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, many)
    middle = [len(np.unique(one[y, x - 8 : x + 20])) - 1 for y, x in centres[::2]]
    # Everywhere the same, at the seam as elsewhere.
    assert len(set(middle)) == 1


def test_micronuclei_tell_nothing_of_the_diameter(tmp_path, monkeypatch):
    """One nucleus and many specks: the typical diameter is that of the nucleus."""

    class AllSpecks:
        def __call__(self, labels, output):
            labels = labels.copy()
            for number in range(8):
                labels[2:5, 4 * number : 4 * number + 3] = labels.max() + 1
            return labels

    monkeypatch.setattr(run_scene, "second_look_for", lambda info: AllSpecks())
    tifffile.imwrite(tmp_path / "a.tif", cones((120, 130), [(60, 60)], 24))
    done = segment_image(
        tmp_path / "a.tif", tmp_path / "o.tif", replace(ASKED, diameter_px=None), SEGMENTER
    )
    assert done.objects == 9 and 22 < done.diameter_px < 26
