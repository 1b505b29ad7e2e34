"""``fociquant check``: all problems of a study at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fociquant.cli import EXIT_INPUT
from fociquant.errors import Problem

if TYPE_CHECKING:
    from fociquant.run.preflight import Preflight


@click.command("check")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-images", is_flag=True, help="Check the two text files only.")
@click.pass_context
def command(ctx: click.Context, study: Path, *, as_json: bool, no_images: bool) -> None:
    """List everything that is wrong with STUDY (a study.yaml, or its folder).

    Each problem comes with its place and its cure. Every image is opened, no
    pixel is read. Exit code 2 if there is any problem, else 0 and a summary of
    what would be counted.

    \b
    Example:
      fociquant check my_study/study.yaml
    """  # noqa: D301 - click reads the escaped character
    from fociquant.run.preflight import preflight

    found = preflight(study, open_images=not no_images)
    click.echo(_as_json(found) if as_json else "\n".join(_as_lines(found)))
    if found.problems:
        ctx.exit(EXIT_INPUT)


def _as_json(found: Preflight) -> str:
    content = {
        "ok": not found.problems,
        "problems": [_fields(problem) for problem in found.problems],
        "notes": [_fields(note) for note in found.notes],
        "summary": found.summary(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _fields(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "cure": problem.cure}


def _as_lines(found: Preflight) -> list[str]:
    lines = [] if found.problems else _summary_lines(found.summary())
    if found.problems:
        plural = "problem" if len(found.problems) == 1 else "problems"
        lines += [f"{len(found.problems)} {plural}; nothing can be counted yet:", ""]
        lines += _numbered(found.problems)
    if found.notes:
        lines += ["", "To look at (no hindrance):", "", *_numbered(found.notes)]
    return lines


def _numbered(problems: Iterable[Problem]) -> list[str]:
    from fociquant.study.alike import told_once

    return [
        f"{number:3d}. {problem.where}\n     {problem.what}\n     Cure: {problem.cure}"
        for number, problem in enumerate(told_once(problems), start=1)
    ]


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    """A short account of what a run would count."""
    from fociquant.counts import several

    channels = ", ".join(f"{role} = {channel}" for role, channel in summary["channels"].items())
    sizes = ", ".join(summary["pixel_sizes_um"])
    pixels = f"{sizes} µm" if sizes else "not looked at"
    nucleus = " with a nucleus" if summary["nucleus_asked_for"] else ""
    lines = [
        f"{summary['name']}: ready to run.",
        "",
        f"  {several(summary['mice'], 'mouse', 'mice')}, {several(summary['sections'], 'section')} "
        f"({several(summary['negative_controls'], 'negative control')}), "
        f"{summary['megapixels']:,.1f} megapixels a channel",
    ]
    for arm in summary["arms"]:
        reference = "  (reference)" if arm["group"] == summary["reference_group"] else ""
        control = arm["control_mice"]
        told = several(control, "negative-control mouse", "negative-control mice")
        controls = f", {told}" if control else ""
        controls += f", {arm['excluded_mice']} excluded" if arm["excluded_mice"] else ""
        mice = several(arm["mice"], "mouse", "mice")
        lines.append(
            f"    {arm['group']:<12} {arm['dpi']:>6g} dpi   n = {mice}{controls}{reference}"
        )
    lines += [
        f"  channels: {channels}",
        f"  pixel size: {pixels}",
        f"  preset: {summary['preset'] or 'none (defaults)'}; model: {summary['model']}",
        "",
        f"Counted would be cells labelled in {summary['channels']['marker']!r}{nucleus}; "
        f"foci of cells at most {summary['link_um']:g} µm apart,",
        f"as {', '.join(summary['classes'])} (profile {summary['profile']}).",
    ]
    return lines
