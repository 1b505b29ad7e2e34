"""``fociquant export``: files for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fociquant.cli import EXIT_SOME_FAILED
from fociquant.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from fociquant.units import PixelSize


class _Results:
    """A results folder as exporters need it, and what of it a format cannot hold."""

    def __init__(self, root: Path) -> None:
        from fociquant.run.provenance import inputs_of, open_results, require_tables

        self.folder, self.record = open_results(root)
        require_tables(self.record, self.folder)
        self.inputs = inputs_of(self.record, self.folder)
        self.refused: list[str] = []

    def table(self, path: Path) -> pd.DataFrame:
        from fociquant.run.table_reading import read_table

        return read_table(path, self.inputs)

    def cells(self) -> pd.DataFrame:
        from fociquant.store import read_parquet

        return read_parquet(self.folder.cells)

    def sections(self) -> list[tuple[str, PixelSize]]:
        """Name and pixel size of every section that was counted."""
        from fociquant.units import PixelSize

        table = self.table(self.folder.sections)
        done = table.loc[table["status"] == "done", "section"]
        return [(name, PixelSize(*self.record["images"][name]["pixel_size_um"])) for name in done]


def _prism(results: _Results, out: Path) -> list[Path]:
    from fociquant.export import write_prism, write_prism_foci

    mice = results.table(results.folder.mice)
    values = ["cells", "cells_per_mm2", *results.inputs.classes]
    values.append("foci_area_mm2")
    for name in results.inputs.phenotypes:
        values += [f"{name}_pct", f"{name}_positive"]
    foci, sections = (results.table(p) for p in (results.folder.foci, results.folder.sections))
    return [
        write_prism(out / "mice.pzfx", mice, values=[name for name in values if name in mice]),
        write_prism_foci(out / "foci.pzfx", foci, mice, sections),
    ]


def _xlsx(results: _Results, out: Path) -> list[Path]:
    from fociquant.export import write_xlsx

    folder = results.folder
    paths = [folder.mice, folder.groups, folder.comparisons, folder.foci, folder.sections]
    paths += [folder.root / "review" / name for name in ("reviewers.csv", "comments.csv")]
    # Results of an earlier version may lack a table that came later.
    tables = {path.stem: results.table(path) for path in paths if path.is_file()}
    return [write_xlsx(out / "tables.xlsx", tables)]


def _geojson(results: _Results, out: Path) -> list[Path]:
    from fociquant.export import write_geojson

    cells, foci = results.cells(), results.table(results.folder.foci)
    return [
        write_geojson(
            out / "geojson" / f"{name}.geojson",
            cells[cells["section"] == name],
            foci[foci["section"] == name],
            pixel_size=pixel_size,
        )
        for name, pixel_size in results.sections()
    ]


def _imagej(results: _Results, out: Path) -> list[Path]:
    from fociquant.export import write_imagej

    cells = results.cells()
    paths = []
    for name, pixel_size in results.sections():
        path = out / "imagej" / f"{name}.zip"
        try:
            paths.append(write_imagej(path, cells[cells["section"] == name], pixel_size=pixel_size))
        except InputError as error:
            results.refused.append(str(error))
    return paths


FORMATS: dict[str, Callable[[_Results, Path], list[Path]]] = {
    "geojson": _geojson, "imagej": _imagej, "prism": _prism, "xlsx": _xlsx,
}  # fmt: skip

ALIASES = {"excel": "xlsx", "fiji": "imagej", "qupath": "geojson"}
"""Programs whose name says as much as the format's."""


def _formats(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    """The formats of a comma-separated list, in its order."""
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    names = [ALIASES.get(name, name) for name in names]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        known = ", ".join([*FORMATS, *ALIASES])
        raise click.BadParameter(f"unknown format {', '.join(unknown) or value!r}. Known: {known}.")
    return list(dict.fromkeys(names))


@click.command("export")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--to", "formats", required=True, callback=_formats, metavar="FORMAT,…",
              help="prism (.pzfx), xlsx, geojson or qupath, imagej (ROI zip).")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Default: RESULTS/exports.")
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def command(results: Path, formats: list[str], out: Path | None, *, as_json: bool) -> int:
    """Write the tables and outlines of RESULTS for other programs.

    In Prism, mice with a failed section or without tissue, and negative controls, are struck out; a
    second file holds the sizes of foci. In Excel, names such as 007 stay text.
    Outlines are those of the counted cells, in pixels of the full-resolution image.

    \b
    Example:
      fociquant export results --to prism,xlsx
    """  # noqa: D301 - click reads the escaped character
    found = _Results(results)
    target = out if out is not None else results / "exports"
    written = [path for name in formats for path in FORMATS[name](found, target)]
    paths = [str(path) for path in written]
    click.echo(json.dumps({"files": paths}, indent=2) if as_json else "\n".join(paths))
    for text in [*_left_over(written, target), *found.refused]:
        click.echo(text, err=True)
    return EXIT_SOME_FAILED if found.refused else 0


def _left_over(written: Sequence[Path], target: Path) -> Iterator[str]:
    """What lies beside the files of sections, as of a section that has another name now."""
    from fociquant.study.spelling import listed

    for folder in sorted({path.parent for path in written} - {target}):
        known = {path.name for path in written if path.parent == folder}
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        others = sorted(names - known)
        if others:
            yield f"{folder}: also holds {listed(others)}, not of this export"
