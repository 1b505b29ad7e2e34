"""Several images at once: in order, the same labels as one by one, and an end when it is asked."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import tifffile

from fociquant.errors import DiskError, ImageError
from fociquant.run import images as room
from fociquant.run.images import SegmentRequest, segment_images
from fociquant.settings import SegmentSettings
from fociquant.testing.segmenters import UphillSegmenter, cones

REQUEST = SegmentRequest(None, None, 24.0, SegmentSettings())


@pytest.fixture()
def files(tmp_path):
    paths = []
    for number in range(6):
        centres = [(30 + 40 * k, 40 + 20 * number) for k in range(number)]
        paths.append(tmp_path / f"{number}.tif")
        tifffile.imwrite(paths[-1], cones((260, 200), centres, 24))
    return paths


def targets_of(files, folder):
    return [folder / path.name for path in files]


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_images_come_in_order_with_the_same_labels(files, tmp_path, threads):
    one, many = targets_of(files, tmp_path / "one"), targets_of(files, tmp_path / "many")
    for path, target in zip(files, one, strict=True):
        room.segment_image(path, target, REQUEST, UphillSegmenter(), threads=1)
    done = list(segment_images(files, many, REQUEST, UphillSegmenter(), threads=threads))
    assert [outcome.image for outcome in done] == files
    assert [outcome.objects for outcome in done] == list(range(6))
    for expected, found in zip(one, many, strict=True):
        np.testing.assert_array_equal(tifffile.imread(found), tifffile.imread(expected))


def test_an_image_that_cannot_be_used_has_its_error_and_the_others_go_on(files, tmp_path):
    files[2].write_bytes(files[2].read_bytes()[:100])
    out = targets_of(files, tmp_path / "out")
    done = list(segment_images(files, out, REQUEST, UphillSegmenter(), threads=2))
    assert [isinstance(outcome, ImageError) for outcome in done] == [n == 2 for n in range(6)]
    assert not out[2].exists() and out[5].exists()


def test_a_full_disk_ends_the_work(files, tmp_path, monkeypatch):
    written = []

    def full(target, *_, **__):
        written.append(target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "write_labels", full)
    out = targets_of(files, tmp_path / "out")
    with pytest.raises(DiskError, match="No space left on device"):
        list(segment_images(files, out, REQUEST, UphillSegmenter(), threads=1))
    assert len(written) < len(files)


def test_whoever_stops_listening_ends_the_work(files, tmp_path):
    out = targets_of(files, tmp_path / "out")
    outcomes = segment_images(files, out, REQUEST, UphillSegmenter(delay_s=0.1), threads=1)
    assert next(outcomes).image == files[0]
    outcomes.close()
    assert not out[-1].exists()


def test_no_wait_keeps_ctrl_c_out(files, tmp_path, monkeypatch):
    """Windows interrupts no wait that has no time limit: a slide would be counted to its end."""
    deaf, waited = [], threading.Condition.wait

    def watched(condition, timeout=None):
        began = time.monotonic()
        found = waited(condition, timeout)
        mine = threading.current_thread() is threading.main_thread()
        if timeout is None and mine and time.monotonic() - began > 0.25:
            deaf.append(condition)
        return found

    monkeypatch.setattr(threading.Condition, "wait", watched)
    out = targets_of(files[:1], tmp_path / "out")
    (done,) = segment_images(files[:1], out, REQUEST, UphillSegmenter(delay_s=0.5), threads=1)
    assert done.image == files[0] and not deaf
