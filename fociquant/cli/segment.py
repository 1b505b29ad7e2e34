"""``fociquant segment``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fociquant.cli import EXIT_SOME_FAILED


@click.command("segment", epilog="Example: fociquant segment nuclei/ --out labels/ --diameter 28")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True,
              help="One .tif for one image, else a folder.")  # fmt: skip
@click.option("--marker", default=None, help="Channel of the objects, by name or index.")
@click.option("--nucleus", default=None, help="Channel of the nuclei, by name or index.")
@click.option("--autofluorescence", default=None,
              help="Unstained channel; what it explains is taken off the objects'.")  # fmt: skip
@click.option("--diameter", type=click.FloatRange(1.0, 2000.0), default=None,
              help="Typical diameter, px of the image; otherwise found.")  # fmt: skip
@click.option("--model", default="compact", show_default=True,
              help="compact, a Cellpose model, or a weights file.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
@click.option("--cellprob", default=None, type=click.FloatRange(-6.0, 6.0),
              help="Lower finds more and larger objects.")  # fmt: skip
@click.option("--threads", default=0, type=click.IntRange(0), help="Threads; 0: one per core.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    images: tuple[Path, ...],
    out: Path,
    marker: str | None,
    nucleus: str | None,
    autofluorescence: str | None,
    diameter: float | None,
    model: str,
    device: str,
    cellprob: float | None,
    threads: int,
    as_json: bool,
) -> int:
    """Segment IMAGES (files or folders) into label images; the model is loaded once."""
    from fociquant.errors import ImageError
    from fociquant.run.images import (
        SegmentRequest,
        collect_images,
        output_paths,
        pictures_left_out,
        previews_left_out,
        segment_images,
    )
    from fociquant.segment import load_segmenter
    from fociquant.settings import SegmentSettings

    changes = {} if cellprob is None else {"cellprob_threshold": cellprob}
    settings = SegmentSettings(model=model, **changes)
    paths = collect_images(images)
    _say_left_out(pictures_left_out(images), previews_left_out(images))
    targets = output_paths(paths, out)
    segmenter = load_segmenter(model, device=device)
    request = SegmentRequest(marker, nucleus, diameter, settings, autofluorescence)
    rows: list[dict[str, object]] = []
    told: set[tuple[str, ...]] = set()
    outcomes = segment_images(paths, targets, request, segmenter, threads=threads)
    for path, done in zip(paths, outcomes, strict=True):
        if isinstance(done, ImageError):
            said = str(done).removeprefix(f"{path}: ")
            rows.append({"image": path.name, "error": said})
        else:
            rows.append(
                {
                    "image": path.name,
                    "labels": str(done.labels),
                    "objects": done.objects,
                    "diameter_px": round(done.diameter_px, 2),
                    "marker": done.marker,
                }
            )
            if marker is None and len(done.channels) > 1 and done.channels not in told:
                told.add(done.channels)
                _say_channel(done.marker, done.channels)
        if not as_json:
            _say(rows[-1])
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    bad = sum("error" in row for row in rows)
    if bad == len(rows) == 1:
        from fociquant.cli import EXIT_INPUT

        return EXIT_INPUT
    return EXIT_SOME_FAILED if bad else 0


def _say_left_out(pictures: list[Path], previews: list[Path]) -> None:
    from fociquant.run.images import CONVERT

    if pictures:
        told = f"left out, of a format that is not read: {_listed(pictures)}. {CONVERT}"
        click.echo(told, err=True)
    if previews:
        told = f"left out, as previews of the other images: {_listed(previews)}."
        click.echo(f"{told} Name them one by one to segment them.", err=True)


def _listed(paths: list[Path]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(path.name for path in paths[:5]) + more


def _say_channel(marker: str, channels: tuple[str, ...]) -> None:
    others = ", ".join(name for name in channels if name != marker)
    click.echo(
        f"no --marker: objects of the first channel, {marker}, are looked for; "
        f"there are also {others}.",
        err=True,
    )


def _say(row: dict[str, object]) -> None:
    if "error" in row:
        click.echo(f"{row['image']}: {row['error']}", err=True)
    else:
        click.echo(f"{row['image']}: {row['objects']} objects → {row['labels']}")
