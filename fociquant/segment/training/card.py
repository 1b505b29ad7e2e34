"""The model card: what weights were made from, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fociquant.segment.registry import EMBEDDED

SHOWN = {
    "precision_50": "precision at IoU 0.5",
    "recall_50": "recall at IoU 0.5",
    "f1_50": "F1 at IoU 0.5",
    "pq_50": "panoptic quality at IoU 0.5",
    "ap_50": "AP at IoU 0.5",
    "ap_mean_50_95": "mean AP, IoU 0.5–0.95",
    "count_error_pct": "count error, %",
}
"""Metrics of the card and their names for people."""

NO_SECOND_LOOK = (
    "With one channel, nuclei are looked at a second time with the embedded weights only: what "
    "trained weights find is not corrected so, and part of the difference between before and after "
    "is that."
)
"""Of trainings that begin with the embedded weights and name no nuclei."""


def card_text(card: Mapping[str, Any], *, took: str) -> str:
    """The model card for people.

    Parameters
    ----------
    card : mapping
        The model card for programs, as written beside the weights.
    took : str
        How long training took.

    Returns
    -------
    str
        Markdown.
    """
    training, held_out = card["training"], card["held_out"]
    lines = [
        f"# {card['weights']}",
        "",
        f"Fine-tuned from `{card['started_from']}` with fociquant {card['fociquant']} on "
        f"{card['date']}. Licence of the weights: {card['licence']}.",
        "",
        f"- sha256: `{card['sha256']}`",
        f"- trained on {len(training['images'])} images, {training['objects']} objects, "
        f"{training['megapixels']} megapixels",
        f"- weight of simulated scenes beside the images' 1: {card['simulated_weight']:g}",
        f"- {card['plan']['steps']} steps in {took}"
        + (f", seed {card['plan']['seed']}" if "seed" in card["plan"] else ""),
        f"- held out for validation ({len(held_out)}): {', '.join(held_out) or 'none'}",
        "",
        *_metrics_lines(card["validation"]),
        *(["", NO_SECOND_LOOK] if loses_second_look(card) else []),
    ]
    return "\n".join(lines) + "\n"


def _metrics_lines(validation: Mapping[str, Any]) -> list[str]:
    before, after = validation["before"], validation["after"]
    if before is None or after is None:
        return ["No image was held out: how good these weights are is not known."]
    rows = [
        f"| {text} | {number(before['image_mean'][key])} | {number(after['image_mean'][key])} |"
        for key, text in SHOWN.items()
    ]
    head = ["Mean over the images held out, which were never trained on:", "",
            "| | before | after |", "|---|---|---|"]  # fmt: skip
    return [*head, *rows]


def loses_second_look(card: Mapping[str, Any]) -> bool:
    """Whether the images held out were looked at a second time before training, and not after."""
    alone = card["channels"]["nucleus"] is None
    return alone and card["started_from"] == EMBEDDED and card["validation"]["before"] is not None


def is_worse(card: Mapping[str, Any]) -> bool:
    """Whether the mean AP on the images held out fell."""
    sides = [card["validation"][when] for when in ("before", "after")]
    if any(side is None for side in sides):
        return False
    before, after = (side["image_mean"]["ap_mean_50_95"] for side in sides)
    return before is not None and after is not None and after < before


def number(value: float | None) -> str:
    """Three decimals; ``undefined`` for None."""
    return "undefined" if value is None else f"{value:.3f}"
