"""Which measured objects are labelled cancer cells, and with which phenotype; no pixels."""

from __future__ import annotations

from fociquant.gate.batch import BatchThreshold, Gate, Passing
from fociquant.gate.cells import gate_objects
from fociquant.gate.controls import batch_thresholds
from fociquant.gate.evidence import marker_needed
from fociquant.gate.looks import looks_of
from fociquant.gate.phenotypes import (
    ChannelRange,
    control_threshold,
    section_spill_over,
    spill_over,
)
from fociquant.gate.raising import upper_bound

__all__ = [
    "BatchThreshold",
    "ChannelRange",
    "Gate",
    "Passing",
    "batch_thresholds",
    "control_threshold",
    "gate_objects",
    "looks_of",
    "marker_needed",
    "section_spill_over",
    "spill_over",
    "upper_bound",
]
