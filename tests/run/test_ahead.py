"""No lane stands idle: what is needed later is loaded early, and a lone block is shared."""

import subprocess
import sys
import threading
from dataclasses import replace
from queue import SimpleQueue

import pytest

from fociquant.errors import ModelError
from fociquant.run.ahead import WORTH_IT_PX, loading_ahead
from fociquant.run.jobs import Count
from fociquant.run.lanes import ThreadLanes
from fociquant.segment.late import LateSegmenter
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.testing.studies import write_study


def late(loaded, info=None):
    """A network that notes in which thread it was loaded."""

    def load():
        loaded.put(threading.current_thread().name)
        return UphillSegmenter()

    return LateSegmenter(info or UphillSegmenter().info, load)


def modules_after(code):
    out = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(out.stdout.split())


def test_a_large_section_has_its_network_loaded_in_another_thread():
    loaded = SimpleQueue()
    before = sys.getswitchinterval()
    with loading_ahead(late(loaded), [100, WORTH_IT_PX]):
        assert loaded.get(timeout=60).startswith("fociquant-ahead")
    assert loaded.empty() and sys.getswitchinterval() == before


@pytest.mark.parametrize("sizes", [[], [WORTH_IT_PX - 1]])
def test_no_network_is_loaded_for_small_sections(sizes):
    loaded = SimpleQueue()
    with loading_ahead(late(loaded), sizes):
        pass
    assert loaded.empty()


def test_a_network_that_cannot_be_used_says_so_where_it_is_used():
    loaded = SimpleQueue()
    other = late(loaded, replace(UphillSegmenter().info, precision="bfloat16"))
    with loading_ahead(other, [WORTH_IT_PX]):
        loaded.get(timeout=60)
    with pytest.raises(ModelError, match="bfloat16"):
        other.flows(None)


def test_a_run_starts_without_what_its_end_needs():
    found = modules_after("import fociquant.run.start, fociquant.run.study, fociquant.cli.outcome")
    assert not {"matplotlib", "zarr", "torch"} & found


@pytest.mark.parametrize(
    ("size", "every_cell", "loaded"),
    [(WORTH_IT_PX, True, True), (WORTH_IT_PX, False, False), (WORTH_IT_PX - 1, True, False)],
)
def test_torch_is_loaded_early_where_every_cell_of_a_large_section_is_looked_for(
    size, every_cell, loaded
):
    code = (
        "import time\nfrom fociquant.run.ahead import LATER, loading_ahead\n"
        "from fociquant.testing.segmenters import UphillSegmenter\n"
        f"with loading_ahead(UphillSegmenter(), [{size}], every_cell={every_cell}):\n"
        "    until = time.monotonic() + 60\n"
        "    while LATER[-1] not in sys.modules and time.monotonic() < until:\n"
        "        time.sleep(0.01)"
    )
    assert ("torch" in modules_after(code)) == loaded


def test_what_the_end_needs_is_loaded_as_soon_as_there_is_something_to_count():
    code = (
        "import time\nfrom fociquant.run.ahead import LATER, loading_ahead\n"
        "with loading_ahead(None, [1]):\n"
        "    until = time.monotonic() + 60\n"
        "    while LATER[-1] not in sys.modules and time.monotonic() < until:\n"
        "        time.sleep(0.01)"
    )
    assert {"matplotlib.figure", "zarr", "fociquant.report._report"} <= modules_after(code)


def test_before_the_first_pixel_nothing_of_tables_and_figures_is_loaded():
    early = modules_after("import fociquant.run.start, fociquant.run.study, fociquant.cli.outcome")
    assert not early & {
        "fociquant.run.tables", "fociquant.run.immune", "fociquant.cohort", "fociquant.review",
        "matplotlib", "zarr", "torch", "openvino",
    }  # fmt: skip


@pytest.mark.parametrize(("threads", "sizes"), [(1, [9]), (2, [1] * 9)])
def test_the_only_block_of_the_last_section_is_shared_by_all_threads(
    run, tmp_path, monkeypatch, threads, sizes
):
    counted, submit = [], ThreadLanes.submit

    def remember(lanes, place, number, job):
        if isinstance(job, Count):
            counted.append(len(job.cells))
        submit(lanes, place, number, job)

    monkeypatch.setattr(ThreadLanes, "submit", remember)
    study = write_study(tmp_path / "s", {"a": 5}, shape=(180, 190))
    outcome = run(study, tmp_path / "r", threads=threads, block_px=8192)
    assert counted == sizes
    assert outcome.tables.mice["cells"].tolist() == [5]
