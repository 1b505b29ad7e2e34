"""A process that is killed between two decisions has lost none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fociquant.review import ReviewSession

BUSY = "cut-mouse-bravo"

SCRIPT = """
import sys
from pathlib import Path
from vispy.gloo import glir
glir.GlirProgram.delete = lambda self: None
from napari_fociquant._launch import open_viewer
viewer = open_viewer(Path(sys.argv[1]))
_, gallery = viewer.window.add_plugin_dock_widget("napari-fociquant", "Gallery review")
desk = gallery.desk
if not desk.open_section(desk.blinding.code_of(sys.argv[2])):
    sys.exit(str(desk.notices))
gallery.filter.setCurrentText("counted")
while True:
    tile = gallery.selected()[0]
    gallery.act("reject")
    cell = int(desk.section.session.cell[tile.row])
    print("repeat" if tile.repeat else cell, flush=True)
"""


def test_what_was_rejected_before_the_kill_is_rejected(results: Path, tmp_path: Path):
    script = tmp_path / "reviewer.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(results), BUSY], stdout=subprocess.PIPE, text=True
    )
    seen = [process.stdout.readline().strip() for _ in range(12)]
    process.kill()
    rest, _ = process.communicate(timeout=60)
    told = {int(word) for word in [*seen, *rest.split("\n")] if word.isdigit()}
    assert len(told) > 5
    with ReviewSession.open(results, BUSY, "rita") as session:
        rejected = {int(cell) for cell in session.cell[session.verdict == 2]}
        assert not session.notices
    assert told <= rejected
    assert len(rejected - told) <= 1  # written, and killed before it could be told
    [log] = (results / "review" / "decisions").glob("*.jsonl")
    assert all(json.loads(line) for line in log.read_text().splitlines())


COLLECTED = """
import gc
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget
from napari_fociquant._qt.run_panel import RunPanel
application = QApplication([])
gc.disable()
for _ in range(5):
    around, panel = QWidget(), RunPanel()
    QVBoxLayout(around).addWidget(panel)
    panel.setParent(None)
    del around, panel
    gc.collect()
"""


def test_a_panel_can_be_collected_as_garbage():
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED], capture_output=True, text=True,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
