"""Which measured objects are labelled cancer cells, and with which phenotype; no pixels."""

from __future__ import annotations

from fociquant.gate.cells import gate_objects

__all__ = ["gate_objects"]
