"""``fociquant simulate``: synthetic lung sections with truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click


def _days(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """``3,9,15`` to numbers."""
    if value is None:
        return ()
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of days such as 3,9,15") from error


@click.command("simulate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--design", "design_name", default="small", show_default=True,
    type=click.Choice(["small", "dormant-awakened", "paper", "paper-small"]),
    help="What the study consists of.",
)  # fmt: skip
@click.option("--size", "size_px", type=int, help="Edge of the square sections, px.")
@click.option("--pixel-size-um", type=float, help="Pixel size, µm.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True,
              help="The same seed gives the same study.")  # fmt: skip
@click.option("--mice", type=int, help="Mice per group and day.")
@click.option("--sections", type=int, help="Sections per mouse.")
@click.option("--dpi", callback=_days, help="Days post infection, e.g. 3,9,15.")
@click.option("--controls", type=int, help="Infected negative-control mice without cancer.")
@click.option("--enrichment", type=float,
              help="How much denser in cancer cells the region is than a whole lung.")  # fmt: skip
@click.option("--no-autofluorescence", is_flag=True, help="Leave out the unstained channel.")
@click.option("--labels", is_flag=True, help="Also write true outlines, truth/labels/*.tif.")
def command(
    out: Path,
    design_name: str,
    seed: int,
    labels: bool,
    no_autofluorescence: bool,
    dpi: tuple[float, ...],
    **changes: float | None,
) -> None:
    """Write a study of synthetic lung sections, with truth, into the new folder OUT.

    The sections are drawn from a model of a mouse lung; no number in them is an
    observation. OUT gets samples.csv, study.yaml, images/ and truth/.

    Example: fociquant simulate trial --design dormant-awakened --seed 7 --labels
    """
    from fociquant.atomic import cannot_write
    from fociquant.testing.lung.design import DESIGNS
    from fociquant.testing.lung.study import simulate_study

    given = {key: value for key, value in changes.items() if value is not None}
    if dpi:
        given["dpi"] = dpi  # type: ignore[assignment]
    if "mice" in given:
        given["fewer_mice"] = ()  # type: ignore[assignment]
    if no_autofluorescence:
        given["autofluorescence"] = False
    design = replace(DESIGNS[design_name], **given)  # type: ignore[arg-type]
    try:
        truth = simulate_study(
            out, design, seed=seed, labels=labels,
            on_section=lambda name, done, total: click.echo(f"{done}/{total}  {name}", err=True),
        )  # fmt: skip
    except OSError as error:
        raise cannot_write(out, error) from error
    click.echo(truth.mice.drop(columns=["tissue_mm2"]).to_string(index=False, na_rep=""))
    click.echo(f"{len(truth.sections)} sections, study file {out / 'study.yaml'}")
