"""People decide: append-only decisions, replay, blinding, audits. No GUI.

A reviewer works on one section at a time through a :class:`ReviewSession`. Every decision
is a line of a log of its own (one file per reviewer and section, chained by hashes) and is
on the disk before it shows. ``recount`` replays all logs onto the tables.

>>> from fociquant.review import ReviewSession
>>> with ReviewSession.open(results, "m1_s1", "ana") as session:  # doctest: +SKIP
...     session.reject([12, 17], reason="macrophage")
...     session.sign_off()
"""

from __future__ import annotations

from fociquant.review.agreement import BlandAltman, Kappa, bland_altman, cohen_kappa
from fociquant.review.audit_design import (
    AuditDesign,
    AuditItem,
    draw_audit,
    read_design,
    write_design,
)
from fociquant.review.audit_estimate import AuditEstimate, estimate_audit
from fociquant.review.audit_fields import tissue_fields, with_surroundings
from fociquant.review.audit_session import AuditSession, require_design
from fociquant.review.audit_verdicts import audit_agreement, audit_verdicts, settle_verdicts
from fociquant.review.blinding import (
    Blinding,
    View,
    is_blinded,
    make_blinding,
    open_blinding,
    unblind,
)
from fociquant.review.decisions import Action, CellRef, Entry
from fociquant.review.queue import QueueItem, doubt, make_queue, queue_rows, repeat_pairs
from fociquant.review.read_log import Log, read_log
from fociquant.review.record import first_unblinding, list_reviewers, list_unusable
from fociquant.review.regions import Region, area_within, check_region
from fociquant.review.replay import (
    AddedCell,
    Reader,
    SectionObjects,
    SectionReview,
    replay_section,
)
from fociquant.review.results import read_cells, results_key, section_names
from fociquant.review.reviewers import Reviewer, ReviewFolder
from fociquant.review.session import ReviewSession
from fociquant.review.state import ACCEPTED, REJECTED, UNDECIDED, Counts
from fociquant.review.status import ReviewMark, namesakes, read_logs, review_marks
from fociquant.review.write_log import LogWriter

__all__ = [
    "ACCEPTED",
    "REJECTED",
    "UNDECIDED",
    "Action",
    "AddedCell",
    "AuditDesign",
    "AuditEstimate",
    "AuditItem",
    "AuditSession",
    "BlandAltman",
    "Blinding",
    "CellRef",
    "Counts",
    "Entry",
    "Kappa",
    "Log",
    "LogWriter",
    "QueueItem",
    "Reader",
    "Region",
    "ReviewFolder",
    "ReviewMark",
    "ReviewSession",
    "Reviewer",
    "SectionObjects",
    "SectionReview",
    "View",
    "area_within",
    "audit_agreement",
    "audit_verdicts",
    "bland_altman",
    "check_region",
    "cohen_kappa",
    "doubt",
    "draw_audit",
    "estimate_audit",
    "first_unblinding",
    "is_blinded",
    "list_reviewers",
    "list_unusable",
    "make_blinding",
    "make_queue",
    "namesakes",
    "open_blinding",
    "queue_rows",
    "read_cells",
    "read_design",
    "read_log",
    "read_logs",
    "repeat_pairs",
    "replay_section",
    "require_design",
    "results_key",
    "review_marks",
    "section_names",
    "settle_verdicts",
    "tissue_fields",
    "unblind",
    "with_surroundings",
    "write_design",
]
