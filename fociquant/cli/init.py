"""``fociquant init``: study files from a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fociquant.run.image_facts import ImageFacts
    from fociquant.study.guess import Roles, Sample
    from fociquant.study.scaffold import Found


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--marker", "markers", metavar="NAME", multiple=True,
    help="Channel that labels the cancer cells; may be repeated, the first one there is taken.",
)  # fmt: skip
@click.option(
    "--force", is_flag=True, help="Replace samples.csv and study.yaml; copies of them are kept."
)
def command(folder: Path, *, markers: tuple[str, ...], force: bool) -> None:
    """Write samples.csv and study.yaml for the images in DIR.

    Images in DIR and in its folders (five deep) become one row each. Mouse, group and dpi
    are filled in where all file names follow one clear pattern, such as
    IAV_15dpi_m03_s2.ome.tif, and channels where their names say what they are.
    Files that are there are kept.

    \b
    Example:
      fociquant init my_study --marker HER2
    """  # noqa: D301 - click reads the escaped character
    from fociquant.run.image_facts import first_facts
    from fociquant.study.guess import guess_samples
    from fociquant.study.scaffold import find_images, keep_copies, sheet_text, study_text, write_new

    found = find_images(folder)
    facts = first_facts((folder / name for name in found.images), markers)
    roles = _roles(facts, markers)
    samples = guess_samples(found.images)
    contents = {
        "samples.csv": sheet_text(samples),
        "study.yaml": study_text(
            folder.absolute().name,
            roles,
            samples,
            channels=facts.channel_names if facts else (),
            has_pixel_size=facts is None or facts.pixel_size is not None,
        ),
    }
    copies = keep_copies(folder, contents) if force else []
    written = write_new(folder, contents, force=force)
    kept = [name for name in contents if name not in written]
    for line in _account(folder, found, written, kept, copies):
        click.echo(line)
    for line in _to_fill_in(samples, roles, facts, written):
        click.echo(f"  - {line}")
    click.echo(f"\nThen: fociquant check {folder / 'study.yaml'}")


def _roles(facts: ImageFacts | None, markers: Sequence[str]) -> Roles:
    """Guessed roles; a marker that was asked for must be there.

    Raises
    ------
    ChannelError
        If no name given with ``--marker`` is a channel of the first image.
    """
    from fociquant.errors import ChannelError
    from fociquant.study.guess import Roles, guess_roles, stained_roles
    from fociquant.study.spelling import did_you_mean, listed

    if facts is None:
        return Roles(marker=markers[0] if markers else None)
    if facts.transmitted and not markers:
        return stained_roles()
    roles = guess_roles(facts.channel_names, markers)
    if markers and (roles.marker or "").casefold() not in {name.casefold() for name in markers}:
        raise ChannelError(
            f"--marker: {facts.section} has no channel {' or '.join(map(repr, markers))}. "
            f"{did_you_mean(markers[0], facts.channel_names)}"
            f"Its channels are {listed(facts.channel_names)}."
        )
    return roles


def _account(
    folder: Path, found: Found, written: list[str], kept: list[str], copies: list[str]
) -> list[str]:
    from fociquant.counts import several
    from fociquant.study.spelling import listed

    lines = [f"{several(len(found.images), 'image')} in {folder}; wrote {' and '.join(written)}."]
    if kept:
        lines.append(f"Kept as it was: {' and '.join(kept)}.")
    if copies:
        lines.append(f"What was there before is in {' and '.join(copies)}.")
    if found.skipped:
        lines.append(f"Left out as label images or overviews: {listed(found.skipped)}.")
    if found.unread:
        lines.append(f"In no row: {listed(found.unread)}; export slides as OME-TIFF.")
    return [*lines, "", "To do:"]


def _to_fill_in(
    samples: Sequence[Sample], roles: Roles, facts: ImageFacts | None, written: list[str]
) -> list[str]:
    """What the user still has to write or look at."""
    lines = []
    if "samples.csv" in written:
        empty = [c for c in ("mouse", "group", "dpi") if not all(getattr(s, c) for s in samples)]
        guessed = [c for c in ("mouse", "group", "dpi") if any(getattr(s, c) for s in samples)]
        if empty:
            lines.append(f"samples.csv: fill in {', '.join(empty)} (keep names as text in Excel).")
        if guessed:
            lines.append(f"samples.csv: look over {', '.join(guessed)}, taken from file names.")
        lines.append("samples.csv: write 'negative' under control where no cell can be labelled.")
    if "study.yaml" in written:
        lines += _channel_lines(roles, facts)
    return lines


def _channel_lines(roles: Roles, facts: ImageFacts | None) -> list[str]:
    from fociquant.study.spelling import listed

    if facts is None:
        return ["study.yaml: no image could be opened; write the channels ('check' says why)."]
    names = listed(facts.channel_names)
    if roles.preset == "dab_ihc":
        lines = [
            "study.yaml: the images are colour pictures in transmitted light: the preset dab_ihc "
            "separates brown (DAB, the marker) and blue (haematoxylin); look over both."
        ]
    elif roles.marker is None:
        lines = [f"study.yaml: write which channel is the marker, of {names}."]
    else:
        lines = [f"study.yaml: look over the channels; marker is {roles.marker!r}, of {names}."]
    if facts.pixel_size is None:
        lines.append("study.yaml: write pixel_size_um, which the images do not say.")
    return lines
