"""How much memory there is and what is made of it."""

from __future__ import annotations

import psutil
import pytest

from fociquant.errors import SettingsError
from fociquant.run import memory
from fociquant.run.memory import (
    LEAST_BYTES,
    LEAST_WINDOWS_BYTES,
    MIB,
    WINDOWS_BYTES,
    machine_bytes,
    parse_bytes,
    shares,
)
from fociquant.settings import ComputeSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.5GB", 2_500_000_000), ("800 MiB", 800 * MIB), ("1g", 10**9), ("123456", 123456),
        ("0.5 TiB", 2**39), (".5kb", 500), ("3GiB", 3 * 2**30),
    ],
)  # fmt: skip
def test_amounts_as_people_write_them(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "0GB", "2,5GB", "1 PB", "GB", "1e9"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(SettingsError, match=r"--memory .*2\.5GB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/jobs/7", {"jobs/7/memory.max": "1000000000", "memory.max": "max"}, 10**9),
        ("0::/jobs/7", {"jobs/memory.max": "900000000", "jobs/7/memory.max": "max"}, 9 * 10**8),
        ("0::/jobs/7\n", {"jobs/memory.max": "9000", "jobs/7/memory.max": "5000"}, 5000),
        ("4:memory:/slurm/x", {"memory/slurm/x/memory.limit_in_bytes": "77000"}, 77000),
        ("4:cpu,memory:/x\n0::/", {"memory/memory.limit_in_bytes": "66000"}, 66000),
        ("4:memory:/", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, None),
        ("nonsense", {}, None),
        ("", {}, None),
    ],
)
def test_limits_of_containers_and_batch_systems_count(tmp_path, lines, files, expected):
    (tmp_path / "cgroup").write_text(lines)
    for name, content in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    found = machine_bytes(cgroups=tmp_path / "sys", own=tmp_path / "cgroup")
    assert found == (expected or psutil.virtual_memory().total)


def test_a_computer_without_control_groups_has_what_it_has(tmp_path):
    assert machine_bytes(own=tmp_path / "absent") == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("how", "processes", "lanes"),
    [
        ({"threads": 8, "memory_bytes": 16 * 2**30}, 1, 8),
        ({"threads": 8, "memory_bytes": 16 * 2**30}, 2, 4),
        ({"threads": 2, "memory_bytes": 16 * 2**30}, 4, 1),
        ({"threads": 16, "memory_bytes": 2_500_000_000}, 1, 4),
        ({"threads": 16, "memory_bytes": LEAST_BYTES}, 1, 1),
        ({"threads": 16, "memory_bytes": 1_000_000_000}, 1, 1),
        ({"threads": 16, "memory_bytes": 3 * LEAST_BYTES}, 3, 1),
    ],
)
def test_threads_follow_the_memory(how, processes, lanes):
    assert shares(ComputeSettings(**how), processes=processes).lanes == lanes


@pytest.mark.parametrize(
    ("allowed", "processes", "cure"),
    [
        ("10MB", 1, r"0\.01GB is too little for a run. Write --memory 1\.3GB or more\."),
        ("0.6GB", 1, "0.6GB is too little"),
        ("2.4GB", 4, r"4 worker processes. Write --memory 5\.2GB or more, or fewer --workers\."),
    ],
)
def test_less_memory_than_anything_can_run_in_is_refused(allowed, processes, cure):
    with pytest.raises(SettingsError, match=cure):
        shares(ComputeSettings(memory_bytes=parse_bytes(allowed)), processes=processes)


def test_a_small_computer_is_used_as_it_is(monkeypatch):
    monkeypatch.setattr(memory, "machine_bytes", lambda: 1_000_000_000)
    assert shares(ComputeSettings(threads=8)).lanes == 1


def test_caches_follow_the_memory():
    small, large = (
        shares(ComputeSettings(threads=2, memory_bytes=n)).window_cache_bytes
        for n in (LEAST_BYTES, 8000 * MIB)
    )
    assert (small, large) == (LEAST_WINDOWS_BYTES, WINDOWS_BYTES)


def test_without_a_word_half_of_the_machine_is_used(monkeypatch):
    monkeypatch.setattr(memory, "machine_bytes", lambda: 4_000_000_000)
    assert shares(ComputeSettings(threads=64)) == shares(
        ComputeSettings(threads=64, memory_bytes=2_000_000_000)
    )


def _library(asked):
    class Library:
        def mallopt(self, option, value):
            asked.append((option, value))

        def malloc_trim(self, kept):
            asked.append("trim")

    return Library()


@pytest.mark.parametrize(
    ("platform", "made", "shared", "given_back"),
    [
        ("linux", _library, [(-8, 2), (-3, 8 * MIB), (-1, 16 * MIB)], ["trim"]),
        ("linux", lambda _: object(), [], []),
        ("win32", None, [], []),
    ],
)
def test_threads_share_and_give_back_memory_where_the_c_library_can(
    monkeypatch, platform, made, shared, given_back
):
    asked = []
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: made(asked))
    memory.share_arenas()
    assert asked == shared
    asked.clear()
    memory.give_back()
    assert asked == given_back
