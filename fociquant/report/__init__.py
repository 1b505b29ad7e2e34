"""Figures and the HTML report of one results folder."""

from __future__ import annotations

from fociquant.report._figures import write_figures
from fociquant.report._report import write_report

__all__ = ["write_figures", "write_report"]
