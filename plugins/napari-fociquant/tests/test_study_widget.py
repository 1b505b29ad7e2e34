"""From a folder of images to exported tables, without a terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from napari_fociquant._sample import sample_images


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of two sections."""
    folder = tmp_path / "new"
    folder.mkdir()
    for name, source in (("PBS_9dpi_m01", "PBS-09d-2-s1"), ("IAV_9dpi_m02", "IAV-09d-1-s1")):
        shutil.copy(sample_images() / "images" / f"{source}.ome.tif", folder / f"{name}.ome.tif")
    return folder


def test_a_technician_counts_a_folder_and_exports(bench, images, qtbot):
    study, draft = bench.study, bench.study.draft
    study.open(images)
    assert [draft.table.item(row, 1).text() for row in (0, 1)] == ["m02", "m01"]

    # a mistake is shown at its row, in its cell
    draft.table.item(1, 3).setText("soon")
    with qtbot.waitSignal(draft.checked, timeout=600_000) as checked:
        draft.check()
    assert checked.args == [False]
    assert "soon" in draft.table.item(1, 3).toolTip()
    assert draft.problems.item(0).text().startswith("row 2:")

    # corrected, counted in another process
    draft.table.item(1, 3).setText("9")
    states = []
    study.run.command.said.connect(lambda event: states.append(event["event"]))
    with qtbot.waitSignal(study.run.counted, timeout=600_000):
        study.run.start_button.click()
    assert states.count("done") == 2
    assert states[-1] == "finished"
    assert study.run.bar.value() == 1000
    assert bench.desk.results.root == images / "results"
    assert bench.study.sections.table.rowCount() == 2
    assert draft.table.rowCount() == 0  # groups are hidden as soon as results are open

    # one section is reviewed; the list says so; files for other programs are written
    assert bench.desk.open_section(bench.study.sections.views()[0].code)
    bench.gallery.act("reject")
    bench.desk.sign_off()
    assert bench.study.sections.table.item(0, 3).text() == "signed off"
    with qtbot.waitSignal(bench.desk.results_changed, timeout=600_000):
        bench.study.sections.export()
    names = {path.name for path in (images / "results" / "exports").iterdir()}
    assert {"mice.pzfx", "tables.xlsx"} <= names


def test_rows_are_left_out_and_new_images_come_in(bench, images, qtbot):
    draft = bench.study.draft
    bench.study.open(images)
    draft.leave_out()
    assert "Select the rows" in bench.desk.notices[-1]
    draft.table.item(0, 2).setText("healthy")  # what was written stays
    draft.table.selectRow(1)
    draft.remove_button.click()
    assert draft.table.rowCount() == 1 and draft.table.item(0, 2).text() == "healthy"
    shutil.copy(next(images.glob("PBS*")), images / "PBS_9dpi_m03.ome.tif")
    draft.add_button.click()
    assert "2 images were not in the table" in bench.desk.notices[-1]
    names = {draft.table.item(row, 0).text() for row in range(draft.table.rowCount())}
    assert len(names) == 3 and "PBS_9dpi_m03.ome.tif" in names
    draft.add_button.click()
    assert "All images" in bench.desk.notices[-1]


def test_a_run_is_stopped_and_goes_on(bench, images, qtbot):
    study = bench.study
    study.open(images)
    with qtbot.waitSignal(study.draft.checked, timeout=600_000):
        study.draft.check()
    with qtbot.waitSignal(study.run.command.said, timeout=600_000):
        study.run.start(images / "study.yaml")
    with qtbot.waitSignal(study.run.command.finished, timeout=600_000) as ended:
        study.run.stop()
    assert ended.args[0] in (130, 0)  # it may have been faster than the wish
    assert "goes on" in study.run.state.text() or ended.args[0] == 0
    assert study.run.start_button.isEnabled()


def test_dropping_a_results_folder_opens_it(bench, results, qtbot):
    bench.viewer.open(str(results), plugin="napari-fociquant")
    assert bench.desk.results is not None
    assert bench.desk.results.root == results
    assert not len(bench.viewer.layers)
