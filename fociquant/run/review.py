"""Decisions of reviewers in the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fociquant.atomic import remove
from fociquant.counts import is_observed
from fociquant.flags import CellFlag, carrying
from fociquant.model import FocusEdit, Section, SectionFacts
from fociquant.review import (
    AuditEstimate,
    Log,
    SectionObjects,
    SectionReview,
    audit_verdicts,
    estimate_audit,
    first_unblinding,
    list_reviewers,
    list_unusable,
    read_design,
    read_logs,
    replay_section,
    settle_verdicts,
)
from fociquant.review.listing import DECISION_COLUMNS, comments_of, list_study
from fociquant.review.record import REVIEWER_COLUMNS, list_troubled
from fociquant.review.replay import SIGNED
from fociquant.review.results import KEY_LENGTH, image_key
from fociquant.review.reviewers import AUDIT, STUDY
from fociquant.run.audit_currency import mice_in_no_mean, mice_that_changed
from fociquant.run.review_agreement import AGREEMENT_COLUMNS, agreement_table
from fociquant.run.reviewed_section import (
    ReviewedSection,
    excluded_share,
    review_warnings,
    with_decisions,
)
from fociquant.store import ResultsFolder, write_csv

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs


MOUSE_COLUMNS = (
    "cells_automatic", "cells_reviewed", "cells_corrected", "cells_corrected_low",
    "cells_corrected_high", "excluded_mm2",
)  # fmt: skip
"""Columns that a review adds to ``mice.csv``, after ``reviewed``."""

MEANS = ("mean_automatic", "mean_reviewed")
"""Columns that a review adds to ``groups.csv``."""

GROUP_COLUMNS = ("mean_corrected", "mean_corrected_low", "mean_corrected_high")
"""Columns that an audit adds to ``groups.csv``."""

CONFLICT_COLUMNS = ("section", "cell", "y_um", "x_um", "verdicts", "result")
"""Columns of ``review/conflicts.csv``."""

MOUSE = ["mouse", "group", "dpi"]
"""What names one animal."""


@dataclass
class StudyReview:
    """All logs of a results folder, and what became of them while sections were counted.

    Parameters
    ----------
    inputs : TableInputs
    logs : dict of str to list of Log
        By section.
    unusable : list of dict
        Logs of which nothing is applied, see :func:`fociquant.review.list_unusable`.
    estimate : AuditEstimate or None
        Corrected counts, once the audit has been estimated; None without an audit.
    """

    inputs: TableInputs
    logs: dict[str, list[Log]]
    unusable: list[dict[str, Any]]
    estimate: AuditEstimate | None = None
    _done: dict[str, SectionReview] = field(default_factory=dict)
    _automatic: dict[str, np.ndarray] = field(default_factory=dict)
    _own: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: ResultsFolder, inputs: TableInputs) -> StudyReview:
        """Every log there is; an empty review where there is none."""
        found, problems = read_logs(folder.root)
        logs: dict[str, list[Log]] = {}
        for log in found:
            logs.setdefault(log.section, []).append(log)
        names = [section.name for section in inputs.sections]
        return cls(inputs, logs, list_unusable(problems, names))

    def section(
        self,
        section: Section,
        state: Mapping[str, Any],
        gated: pd.DataFrame,
        facts: SectionFacts,
    ) -> ReviewedSection:
        """Apply what was decided about one section.

        Parameters
        ----------
        section : Section
        state : mapping
            As stored.
        gated : pandas.DataFrame
            Judged objects; ``positive`` is the automatic result.
        facts : SectionFacts

        Returns
        -------
        ReviewedSection
        """
        automatic = gated["positive"].to_numpy(bool)
        objects = SectionObjects(
            gated["cell"].to_numpy(np.int64), gated["y_um"].to_numpy(np.float64),
            gated["x_um"].to_numpy(np.float64), automatic, list(gated["outline"]),
            str(state["key"])[:KEY_LENGTH],
        )  # fmt: skip
        settings = self.inputs.settings.review
        image = image_key(state)
        logs = [log.of_image(image) for log in self.logs.get(section.name, [])]
        if logs:
            self.logs[section.name] = logs
        review = replay_section(objects, logs, settings=settings)
        self._done[section.name], self._automatic[section.name] = review, automatic
        self._own[section.name] = ~carrying(gated["flags"], CellFlag.OUTSIDE_REGION)
        edits, unknown = self._known_classes(review.edits)
        share = excluded_share(review.region, facts, state)
        return ReviewedSection(
            cells=with_decisions(gated, review, self.inputs),
            edits=edits,
            tissue_mm2=facts.tissue_mm2 * (1 - share),
            parenchyma_mm2=facts.parenchyma_mm2 * (1 - share),
            columns={
                "cells_automatic": int(automatic.sum()),
                "excluded_mm2": facts.tissue_mm2 * share,
                "review": review.status,
            },
            warnings=(*review_warnings(review, unknown), *self._not_applied(section.name)),
            region=review.region,
        )

    def _not_applied(self, section: str) -> list[str]:
        return [
            f"decisions that are not applied: {row['note']}"
            for row in self.unusable if row["section"] == section
        ]  # fmt: skip

    def _known_classes(self, edits: Sequence[FocusEdit]) -> tuple[tuple[FocusEdit, ...], list[str]]:
        known = {one.name for one in self.inputs.profile.classes}
        kept = tuple(e for e in edits if e.kind != "class" or e.value in known)
        return kept, sorted({e.value for e in edits if e.kind == "class"} - known)

    def with_mice(
        self, folder: ResultsFolder, mice: pd.DataFrame, sections: pd.DataFrame
    ) -> pd.DataFrame:
        """The table of mice with automatic, reviewed and corrected counts side by side."""
        rows = [_mouse(key, sections) for key in mice[MOUSE].itertuples(index=False)]
        table = pd.DataFrame(rows, columns=["reviewed", "cells_automatic", "excluded_mm2"])
        self.estimate = self._audit(folder, mice)
        out = mice.assign(reviewed=table["reviewed"].astype("str").to_numpy())
        counted = table["cells_automatic"].astype("Int64")
        columns: dict[str, Any] = {
            "cells_automatic": counted.array,
            "cells_reviewed": out["cells"].astype("Int64").where(out["reviewed"] == "yes").array,
            **_corrected(self.estimate, out),
            "excluded_mm2": table["excluded_mm2"].to_numpy(np.float64),
        }
        place = list(out.columns).index("reviewed") + 1
        for offset, name in enumerate(MOUSE_COLUMNS):
            out.insert(place + offset, name, columns[name])
        return out

    def with_groups(self, groups: pd.DataFrame, mice: pd.DataFrame) -> pd.DataFrame:
        """The table of groups with automatic, reviewed and corrected means side by side.

        `mice` is the table of :meth:`with_mice`.
        """
        groups = _with_means(groups, mice)
        if self.estimate is None:
            return groups.assign(**dict.fromkeys(GROUP_COLUMNS, math.nan))
        found = self.estimate.groups.set_index(["group", "dpi"])
        keys = list(zip(groups["group"].astype(str), groups["dpi"].astype(float), strict=True))
        return groups.assign(
            **{
                name: [float(found[name].get(key, math.nan)) for key in keys]
                for name in GROUP_COLUMNS
            }
        )

    def _audit(self, folder: ResultsFolder, mice: pd.DataFrame) -> AuditEstimate | None:
        design = read_design(folder.root)
        if design is None:
            return None
        verdicts = audit_verdicts(design, (log for own in self.logs.values() for log in own))
        return estimate_audit(
            design, settle_verdicts(design, verdicts),
            incomplete=mice_in_no_mean(mice),
            changed=mice_that_changed(design, folder, self.inputs),
        )  # fmt: skip

    @property
    def not_read(self) -> tuple[str, ...]:
        """What is wrong with logs about the study or its audit: no section can warn of these."""
        whole = [str(row["note"]) for row in self.unusable if not row["section"]]
        logs = [log for name in (STUDY, AUDIT) for log in self.logs.get(name, [])]
        return (*whole, *(text for log in logs for text in log.problems))

    def write(self, folder: ResultsFolder) -> None:
        """Tables of ``review/``; none where nobody has reviewed and no audit was drawn."""
        target = folder.root / "review"
        if self.logs or self.unusable:
            write_csv(target / "reviewers.csv", self._reviewers())
        if self.logs:
            listed = self._listed("decisions", DECISION_COLUMNS)
            decisions = pd.DataFrame(
                [*listed.to_dict("records"), *list_study(self.logs.get(STUDY, []))],
                columns=list(DECISION_COLUMNS),
            )
            decisions["cell"] = decisions["cell"].astype("Int64")
            _write_or_remove(target / "comments.csv", comments_of(decisions))
            write_csv(target / "decisions.csv", decisions)
            write_csv(target / "conflicts.csv", self._listed("conflicts", CONFLICT_COLUMNS))
            design = read_design(folder.root)
            agreement = agreement_table(
                self.inputs.sections, self._done, self._automatic, self._own, self.logs, design
            )
            write_csv(target / "agreement.csv", agreement[list(AGREEMENT_COLUMNS)])
        if self.estimate is not None:
            write_csv(target / "audit.csv", self.estimate.rates)

    def _reviewers(self) -> pd.DataFrame:
        unblinded = first_unblinding(self.logs.get(STUDY, []))
        rows = [
            {"section": section.name} | row
            for section in self.inputs.sections
            if section.name in self._done
            for row in list_reviewers(
                self.logs.get(section.name, []), self._done[section.name], unblinded
            )
        ]
        rows += list_troubled(log for name in (STUDY, AUDIT) for log in self.logs.get(name, []))
        return pd.DataFrame([*rows, *self.unusable], columns=list(REVIEWER_COLUMNS))

    def _listed(self, what: str, columns: Sequence[str]) -> pd.DataFrame:
        rows = [
            {"section": section.name} | row
            for section in self.inputs.sections
            if section.name in self._done
            for row in getattr(self._done[section.name], what)
        ]
        return pd.DataFrame(rows, columns=list(columns))


def _write_or_remove(path: Path, table: pd.DataFrame) -> None:
    if len(table):
        write_csv(path, table)
    else:
        remove(path)


def _mouse(key: tuple[Any, ...], sections: pd.DataFrame) -> tuple[str, float, float]:
    """Reviewed or not, automatic cells and excluded area of one mouse."""
    own = sections[(sections[MOUSE] == list(key)).all(axis=1) & (sections["status"] == "done")]
    control = own["control"] == "negative"
    used = own if control.all() else own[~control]
    if not len(used):
        return "no", math.nan, math.nan
    signed = bool((used["review"] == SIGNED).all())
    excluded = math.fsum(used["excluded_mm2"])
    return "yes" if signed else "no", float(used["cells_automatic"].sum()), excluded


def _with_means(groups: pd.DataFrame, mice: pd.DataFrame) -> pd.DataFrame:
    """Means over the mice that are in ``mean``; reviewed only where all of them are."""
    used = mice[is_observed(mice) & (mice["control"] == "")]
    found: dict[str, list[float]] = {name: [] for name in MEANS}
    for group, dpi in zip(groups["group"], groups["dpi"], strict=True):
        own = used[(used["group"] == group) & (used["dpi"] == dpi)]
        for name in MEANS:
            counts = own[name.replace("mean", "cells")].astype("Float64")
            known = len(own) > 0 and bool(counts.notna().all())
            found[name].append(float(counts.mean()) if known else math.nan)
    return groups.assign(**found)


def _corrected(estimate: AuditEstimate | None, mice: pd.DataFrame) -> dict[str, Any]:
    names = ("cells_corrected", "cells_corrected_low", "cells_corrected_high")
    if estimate is None:
        return {name: np.full(len(mice), np.nan) for name in names}
    found = estimate.mice.set_index(MOUSE)
    keys = list(
        zip(mice["mouse"].astype(str), mice["group"].astype(str), mice["dpi"].astype(float),
            strict=True)
    )  # fmt: skip
    return {
        name: np.array([float(found[name].get(key, math.nan)) for key in keys]) for name in names
    }
