"""The model card speaks of the weights that ship."""

from __future__ import annotations

from pathlib import Path

from fociquant.segment.compact import load_compact
from fociquant.segment.late import embedded_weights, file_sha256

CARD = Path(__file__).resolve().parents[2] / "docs" / "models" / "compact.md"


def test_the_card_names_the_weights_and_their_size() -> None:
    text = CARD.read_text(encoding="utf-8")
    weights = embedded_weights()
    assert file_sha256(weights) in text
    parameters = sum(value.numel() for value in load_compact(weights).parameters())
    assert f"{parameters:,}".replace(",", " ") in text
    assert weights.stat().st_size < 10_000_000
