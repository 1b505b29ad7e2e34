"""Kill runs and their workers at random moments, resume, and compare every byte of the tables.

    python benchmarks/kills.py --kills 25 --seed 1 --json kills.json

Each round starts ``fociquant run`` on a small simulated study with the real network, kills the
main process or one of its workers (SIGKILL) at a random moment, and starts the same command
again until it ends by itself; then the tables are compared with those of an undisturbed run.
Rounds take turns: threads, ``--workers``. Nothing is reported of time: this is not about speed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")
MODES = {"threads": ("--threads", "2"), "workers": ("--workers", "2")}
LIMIT_S = 1800.0


@dataclass
class Kill:
    """One kill."""

    round: int
    mode: str
    victim: str
    after_s: float
    blocks_stored: int


def command(study: Path, out: Path, mode: str) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "fociquant", "run", str(study), "--out", str(out), "--quiet",
            "--device", "cpu", "--block", "1024", *MODES[mode]]  # fmt: skip


def digest(out: Path) -> dict[str, str]:
    """sha256 of every table."""
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in TABLES}


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Worker processes of a run."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def kill_once(
    number: int, study: Path, out: Path, mode: str, chance: random.Random, length_s: float
) -> Kill | None:
    """Start a run and kill something in it; None if it ended before."""
    with subprocess.Popen(command(study, out, mode), stderr=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:  # fmt: skip
        after = chance.uniform(0.0, length_s)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        workers = workers_of(process)
        blocks = len(list(out.glob("sections/*/blocks/*.parquet")))
        if workers and chance.random() < 0.5:
            chance.choice(workers).kill()
            victim = "worker"
            if process.wait(LIMIT_S) != 0:
                raise SystemExit(f"round {number}: a killed worker ended the run")
        else:
            process.send_signal(signal.SIGKILL)
            victim = "main"
            process.wait()
    return Kill(number, mode, victim, round(after, 2), blocks)


def rounds(study: Path, folder: Path, kills: int, seed: int) -> dict[str, object]:
    """All rounds, and whether every one gave the same bytes."""
    began = time.monotonic()
    subprocess.run(command(study, folder / "whole", "threads"), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    length_s, expected = time.monotonic() - began, digest(folder / "whole")
    chance, done, number = random.Random(seed), [], 0
    different: list[int] = []
    while len(done) < kills:
        number += 1
        mode = list(MODES)[number % len(MODES)]
        out = folder / f"round{number}"
        for _ in range(chance.randint(1, 3)):  # some are killed more than once
            kill = kill_once(number, study, out, mode, chance, length_s)
            if kill is not None:
                done.append(kill)
        subprocess.run(command(study, out, mode), check=True, timeout=LIMIT_S,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        same = digest(out) == expected and not list(out.rglob("*.tmp"))
        if not same:
            different.append(number)
        print(f"round {number}: {'same bytes' if same else 'DIFFERENT'}, {len(done)} kills so far")
    return {
        "seed": seed, "kills": len(done), "rounds": number, "rounds_different": different,
        "victims": {who: sum(kill.victim == who for kill in done) for who in ("main", "worker")},
        "undisturbed_run_s": round(length_s, 1), "each": [asdict(kill) for kill in done],
    }  # fmt: skip


def main() -> int:
    """Run the benchmark; 1 if any round gave other bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=2200, help="edge of each section, px")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    from fociquant.testing.studies import write_study

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = write_study(
            folder / "study", {"a": 900, "b": 40, "c": 300}, shape=(asked.size, asked.size)
        )
        found = rounds(study, folder, asked.kills, asked.seed)
    print(f"{found['kills']} kills, {len(found['rounds_different'])} rounds with other bytes")
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if found["rounds_different"] else 0


if __name__ == "__main__":
    sys.exit(main())
