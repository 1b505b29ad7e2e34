"""The pages hold together: links resolve, flags and columns are those that a run writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fociquant.flags import REJECTING, CellFlag
from fociquant.run.immune import BAND_COLUMNS
from fociquant.run.study import run_study
from fociquant.settings import ComputeSettings
from fociquant.study import load_study
from fociquant.testing.lung.design import DESIGNS
from fociquant.testing.lung.study import simulate_study

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "benchmarks/README.md")),
    ROOT / "sample_images" / "README.md",
    ROOT / "plugins" / "napari-fociquant" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
RESULTS_PAGE = ROOT / "docs" / "results_folder.md"
TABLES = (
    "mice.csv", "groups.csv", "comparisons.csv", "sections.csv", "thresholds.csv", "foci.csv",
    "foci_sensitivity.csv", "cells.parquet",
)  # fmt: skip


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link} leads out of the project"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link} has no such heading"


def test_nobody_is_told_to_install_what_no_package_index_has() -> None:
    told = [*PAGES, *ROOT.glob("configs/*.yaml"), *ROOT.glob("fociquant/**/*.py")]
    for path in told:
        found = re.findall(r"pip install +['\"]?(?:napari-)?fociquant\b", path.read_text("utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_every_page_of_docs_is_on_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "index.md" or f"({page.name})" in index, page.name
    for page in ROOT.glob("docs/decisions/0*.md"):
        assert f"({page.name})" in decisions, page.name


def rows_under(heading: str) -> list[list[str]]:
    """Rows of the first table below a heading of the results page, header left out."""
    text = RESULTS_PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    assert table is not None, heading
    lines = table.group().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def documented(table: str, *, channels: list[str], phenotypes: list[str]) -> list[str]:
    """Columns that the results page lists for a table, placeholders filled in."""
    columns: list[str] = []
    for name, *_ in rows_under(f"`{table}`"):
        name = name.strip("`")
        if name.startswith("<channel>"):
            columns += [name.replace("<channel>", channel) for channel in channels]
        elif name.startswith("<phenotype>"):
            columns += [name.replace("<phenotype>", phenotype) for phenotype in phenotypes]
        else:
            columns.append(name)
    return columns


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run on two tiny simulated sections."""
    folder = tmp_path_factory.mktemp("tiny")
    design = replace(DESIGNS["dormant-awakened"], mice=1, size_px=448)
    simulate_study(folder / "study", design, seed=3)
    study = load_study(folder / "study" / "study.yaml")
    outcome = run_study(study, folder / "results", compute=ComputeSettings(device="cpu", threads=1))
    assert not outcome.failed
    return folder / "results"


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_those_of_a_run(results: Path, table: str) -> None:
    path = results / table
    written = pd.read_parquet(path) if table.endswith("parquet") else pd.read_csv(path)
    channels, phenotypes = ["HER2", "DAPI", "AF", "Ki67"], ["Ki67"]
    assert documented(table, channels=channels, phenotypes=phenotypes) == list(written.columns)


def test_columns_of_immune_bands() -> None:
    found = documented("immune_bands.csv", channels=[], phenotypes=[])
    assert found == list(BAND_COLUMNS)


def test_files_are_those_of_a_run(results: Path) -> None:
    text = RESULTS_PAGE.read_text(encoding="utf-8")
    tree = text.split("```text\nRESULTS/\n")[1].split("```")[0]
    listed = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    section = sorted((results / "sections").iterdir())[0]
    written = {path.name for path in [*results.iterdir(), *section.iterdir()]}
    assert written <= listed | {"sections"}
    only_sometimes = {"failure.json", "blocks", "exports", "gate_sweep", "review", ".lock",
                      "immune_bands.csv", "immune.parquet"}  # fmt: skip
    assert listed - only_sometimes - {"sections/<section>"} <= written


def test_flags_are_those_of_the_registry() -> None:
    said = {name.strip("`"): rejects == "yes" for name, rejects, _ in rows_under("Flags")}
    assert said == {flag.name.lower(): bool(flag & REJECTING) for flag in CellFlag}
