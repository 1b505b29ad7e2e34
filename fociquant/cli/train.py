"""``fociquant train``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from fociquant.run.training_data import TrainingRequest
    from fociquant.segment.training import TrainingImage

SCENES = 192
"""Different simulated scenes in one training; each is cropped at random many times."""

UNMIXED_SHARE = 0.5
"""Part of the scenes from which autofluorescence is taken off, for a network that begins anew."""

SCENE_PX = 384
"""Edge of a scene, px."""


@click.command("train")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--labels", required=True, metavar="DIR|SUFFIX",
              help="Folder of labels, or e.g. _masks for a_masks.tif beside a.tif.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="WEIGHTS.pt", help="Weights to write.")  # fmt: skip
@click.option("--from", "start", default="compact", show_default=True,
              help="compact, scratch (random), a Cellpose model, or a weights file.")  # fmt: skip
@click.option("--steps", default=300, show_default=True, type=click.IntRange(1),
              help="Optimiser steps.")  # fmt: skip
@click.option("--rate", default=None, type=click.FloatRange(0.0, 0.1, min_open=True),
              help="Peak learning rate of the compact network.")  # fmt: skip
@click.option("--simulate", default=0.0, show_default=True, type=click.FloatRange(0.0),
              help="Weight of simulated lung scenes beside the images' 1.")  # fmt: skip
@click.option("--marker", default=None, help="Channel of the objects, by name or index.")
@click.option("--nucleus", default=None, help="Channel of the nuclei, by name or index.")
@click.option("--autofluorescence", default=None,
              help="Unstained channel; what it explains is taken off the objects'.")  # fmt: skip
@click.option("--diameter", type=click.FloatRange(1.0, 2000.0), default=None,
              help="Typical diameter, px of the images; otherwise found.")  # fmt: skip
@click.option("--validation", default=None, metavar="PATTERN",
              help="Images to hold out, e.g. 'mouse3_*'; otherwise one in ten.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
              help="Of the random choices; the same seed gives the same training.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue only; never begin anew.")
@click.option("--fresh", is_flag=True, help="Forget an earlier training of WEIGHTS.pt.")
@click.option("--json", "as_json", is_flag=True, help="Print the model card as JSON.")
def command(
    images: tuple[Path, ...],
    out: Path,
    steps: int,
    rate: float | None,
    seed: int,
    diameter: float | None,
    resume: bool,
    fresh: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Fine-tune a model on IMAGES (files or folders) with corrected labels.

    One image in ten is held out and measures the model before and after. The same
    command continues an interrupted training from WEIGHTS.pt.training/. Beside the
    weights a model card is written, .json and .md; use them with --model WEIGHTS.pt.

    \b
    Examples:
      fociquant train crops/ --labels _masks --out ours.pt --marker HER2 --nucleus DAPI
      fociquant train nuclei/ --labels masks/ --out nuclei.pt --steps 500 --simulate 0.5
    """  # noqa: D301 - click reads the escaped character
    from fociquant.cli import EXIT_INTERRUPTED
    from fociquant.run.endings import asked_to_end
    from fociquant.run.training import fine_tune, training_plan
    from fociquant.run.training_data import TrainingRequest
    from fociquant.segment.training import ScenePool

    if resume and fresh:
        raise click.UsageError("--resume and --fresh contradict each other.")
    plan = training_plan(options["start"], steps=steps, seed=seed, rate=rate)
    request = TrainingRequest(images, out=out, plan=plan, diameter_px=diameter, **options)
    scenes = ScenePool(_scene_maker(request), seed=seed, size=SCENES) if request.simulate else None
    done = fine_tune(
        request,
        scenes=scenes,
        fresh=fresh,
        must_resume=resume,
        stop=asked_to_end(threading.Event()),
        say=lambda line: click.echo(line, err=True),
    )
    if done.interrupted:
        click.echo("interrupted; the same command again continues", err=True)
        return EXIT_INTERRUPTED
    _show(done.card, out, as_json=as_json)
    return 0


def _scene_maker(request: TrainingRequest) -> Callable[[np.random.Generator], TrainingImage]:
    """Makes a simulated scene, scaled as a run would scale it."""
    from fociquant.run.training import SCRATCH
    from fociquant.run.training_data import scene_planes
    from fociquant.segment.training import training_image
    from fociquant.testing.lung import CHANNELS, training_scene

    names = {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF"}
    share = UNMIXED_SHARE
    if request.start != SCRATCH:
        share = 0.0 if request.autofluorescence is None else 1.0
        if request.nucleus is None:
            del names["nucleus"]

    def make(rng: np.random.Generator) -> TrainingImage:
        scene = training_scene(rng, (SCENE_PX, SCENE_PX))
        channels = {role: scene.image[CHANNELS.index(name)] for role, name in names.items()}
        planes = scene_planes(channels, rng, unmix=share)
        diameter = scene.recipe.cells.diameter_um / scene.pixel_size_um
        return training_image(planes, scene.labels, ignore=scene.ignore, diameter_px=diameter)

    return make


def _show(card: Any, out: Path, *, as_json: bool) -> None:
    from fociquant.segment.training.card import NO_SECOND_LOOK, is_worse, loses_second_look

    if as_json:
        click.echo(json.dumps(card, indent=2, allow_nan=False))
    else:
        for path in (out, out.with_suffix(".json"), out.with_suffix(".md")):
            click.echo(f"  {path}")
    if is_worse(card):
        click.echo(
            "note: the mean AP on the images held out fell. Give more labels, fewer steps, or "
            "--simulate 0.5; the weights are written all the same.",
            err=True,
        )
    if loses_second_look(card):
        click.echo(f"note: {NO_SECOND_LOOK}", err=True)
