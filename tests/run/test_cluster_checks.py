"""What is said of schedulers and workers that cannot be used: one line each, with the cure."""

from __future__ import annotations

import _thread
import contextlib
import dataclasses
import re
import signal
import socket
import sys
import threading
import time
import types
import warnings

import dask
import pytest
from distributed.comm import CommClosedError
from distributed.versions import VersionMismatchWarning

from fociquant import __version__
from fociquant.errors import ClusterError, ClusterLostError, SettingsError
from fociquant.run import cluster, worker_lanes
from fociquant.run.acquaintance import different_versions, stranger
from fociquant.run.cluster import _require_same, open_cluster
from fociquant.run.desk import Description, Order, describe
from fociquant.run.jobqueue import RENEWALS, BatchQueue, read_batch_jobs
from fociquant.run.progress import Progress
from fociquant.segment.late import file_sha256
from fociquant.settings import ComputeSettings, configs_dir
from fociquant.testing.segmenters import UphillSegmenter

INFO = UphillSegmenter().info
SOUND = Description("host", __version__, INFO, "", ())


def versions(**changes):
    packages = {"python": "3.11.4.final.0", "dask": "2026.8.0", "distributed": "2026.8.0"}
    return {"host": {}, "packages": packages | changes}


def test_the_same_versions_are_welcome():
    found = {"client": versions(), "scheduler": versions(python="3.11.9.final.0"),
             "workers": {"tcp://a:1": versions()}}  # fmt: skip
    assert different_versions(found) == ""


@pytest.mark.parametrize(
    ("where", "changes", "expected"),
    [
        ("scheduler", {"distributed": "2025.1.0"}, "the scheduler runs distributed 2025.1.0"),
        ("scheduler", {"python": "3.12.1.final.0"}, "the scheduler runs python 3.12"),
        ("workers", {"dask": "2024.8.0"}, "tcp://a:1 runs dask 2024.8.0, here it is 2026.8.0"),
    ],
)
def test_another_version_is_named(where, changes, expected):
    other = versions(**changes)
    found = {"client": versions(), "scheduler": versions(), "workers": {"tcp://a:1": versions()}}
    found[where] = {"tcp://a:1": other} if where == "workers" else other
    assert expected in different_versions(found)


def test_a_sound_worker_is_no_stranger():
    assert stranger("tcp://a:1", SOUND, expected=INFO) == ""
    other_gpu = dataclasses.replace(INFO, device="cpu:1", batch=7)
    assert stranger("tcp://a:1", dataclasses.replace(SOUND, model=other_gpu), expected=INFO) == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (dataclasses.replace(SOUND, version="0.0.1"), "fociquant 0.0.1 is installed there"),
        (dataclasses.replace(SOUND, model=None, problem="weights w.pt cannot be read."),
         "cannot load the network: weights w.pt"),
        (dataclasses.replace(SOUND, missing=("/data/a.tif",)), "does not see /data/a.tif.*drive"),
        (dataclasses.replace(SOUND, model=dataclasses.replace(INFO, sha256="0" * 64)),
         "weights of 'uphill' there are others.*Copy the same file"),
        (dataclasses.replace(SOUND, model=dataclasses.replace(INFO, precision="bfloat16")),
         "in bfloat16, the other workers on cpu in float32.*--device cpu"),
        (ModuleNotFoundError("No module named 'fociquant'", name="fociquant"),
         "fociquant is not installed there.*Start the worker from"),
        (ModuleNotFoundError("No module named 'fociquant.run.desk'", name="fociquant.run.desk"),
         f"another version of fociquant.*Install fociquant {__version__}"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"),
         f"cannot load what it needs.*'torch'.*Install fociquant {__version__} and its packages"),
        (OSError("libcudart.so.12: cannot open shared object file"),
         "cannot load what it needs.*libcudart.*anew"),
        (TimeoutError("20 s"), "does not answer.*Start it again"),
    ],
)  # fmt: skip
def test_a_stranger_is_told_apart(answer, expected):
    text = stranger("tcp://a:1", answer, expected=INFO)
    assert text.startswith("worker tcp://a:1: ") and "\n" not in text
    assert re.search(expected, text), text


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8786", "is no address.*tcp://127"),
        ("tcp://nowhere", "is no address"),
        ("", "is no address"),
        ("ucx://127.0.0.1:8786", "is no address"),
        ("tls://127.0.0.1:1", "tls://127.0.0.1:1 cannot be spoken to.*certificates"),
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1.*dask scheduler"),
    ],
)
def test_a_scheduler_that_is_not_there(monkeypatch, address, expected):
    monkeypatch.setattr("fociquant.run.cluster.CONNECT_S", 1.0)
    with pytest.raises(ClusterError, match=expected):
        open_cluster("compact", ComputeSettings(scheduler=address), images=[], progress=Progress())


def test_another_program_at_the_address_does_not_hold_a_run_up(monkeypatch):
    """It takes every greeting, and never answers: a dashboard, for example."""
    monkeypatch.setattr("fociquant.run.cluster.CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as taking:
        address = f"tcp://127.0.0.1:{taking.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}"):
            open_cluster(
                "compact", ComputeSettings(scheduler=address), images=[], progress=Progress()
            )


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64),
     (8).to_bytes(8, "little") + bytes(8), (16).to_bytes(8, "little") + b"\1" * 16],
)  # fmt: skip
def test_another_program_that_speaks_first_is_no_scheduler(monkeypatch, greeting):
    """Dask takes the letters of a greeting for lengths, and asks for as much memory."""
    monkeypatch.setattr("fociquant.run.cluster.CONNECT_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        speaking = threading.Thread(target=_speak_first, args=(server, greeting))
        speaking.start()
        with pytest.raises(ClusterError, match=f"at {address} is no Dask scheduler.*--scheduler"):
            open_cluster(
                "compact", ComputeSettings(scheduler=address), images=[], progress=Progress()
            )
        speaking.join()


def _speak_first(server, greeting):
    with server.accept()[0] as other:
        other.sendall(greeting)
        other.settimeout(10.0)
        with contextlib.suppress(OSError):
            while other.recv(4096):
                pass


def test_worker_processes_have_the_settings_of_dask_itself(monkeypatch):
    seen = []

    def start(**_):
        seen.append(dask.config.get("distributed.comm.timeouts.tcp"))
        raise OSError("no more processes")

    monkeypatch.setattr(cluster, "LocalCluster", start)
    with (
        dask.config.set({"distributed.comm.timeouts.tcp": "2s"}),
        pytest.raises(ClusterError, match="cannot be started"),
    ):
        open_cluster("compact", ComputeSettings(workers=1), images=[], progress=Progress())
    assert set(seen) == {"30s"}


def test_an_unknown_model_starts_no_worker():
    with pytest.raises(SettingsError, match="unknown model 'cyto3'"):
        open_cluster("cyto3", ComputeSettings(workers=2), images=[], progress=Progress())


def test_a_worker_that_died_has_as_long_as_at_the_start_to_be_back(monkeypatch):
    seen, name = [], cluster.LOST_WORKER
    before = dask.config.get(name)

    def start(**_):
        seen.append(dask.config.get(name))
        raise OSError("no more processes")

    monkeypatch.setattr(cluster, "LocalCluster", start)
    with pytest.raises(ClusterError, match=r"cannot be started: no more processes.*--workers"):
        open_cluster("compact", ComputeSettings(workers=1), images=[], progress=Progress())
    assert seen == [worker_lanes.START_S] * 2 and dask.config.get(name) == before


class Deserted:
    """A client of a scheduler that no worker comes back to."""

    status, scheduler = "running", None

    def nthreads(self):
        return {}


class Silent(Deserted):
    """A client with one worker that never answers."""

    def nthreads(self):
        return {"tcp://a:1": 1}

    def submit(self, *_, **__):
        return types.SimpleNamespace(done=lambda: False)


def test_a_worker_that_never_answers_is_named(monkeypatch):
    order = Order("run", "compact", "cpu", 0, own=False)
    lanes = worker_lanes.ClusterLanes(Silent(), order, [])
    monkeypatch.setattr(worker_lanes, "SILENCE_S", -1.0)
    with pytest.raises(ClusterError, match=r"Worker tcp://a:1 has not loaded.*log"):
        lanes.wait(0.05, 1, Progress())
    assert "waiting for workers to load the network: 1" in lanes.notes()


class Dying(Deserted):
    """A client whose only worker dies on its first words, and is replaced by one that lives."""

    def __init__(self):
        self.there, self.ran = ["tcp://a:1"], []

    def nthreads(self):
        return dict.fromkeys(self.there, 1)

    def run(self, _, *, workers, wait, on_error):
        assert not wait and on_error == "ignore"  # it may be gone
        self.ran += workers

    def submit(self, *_, workers, **__):
        def result(timeout):
            if workers == ["tcp://a:1"]:
                self.there[:] = ["tcp://b:2"]
                raise CommClosedError("the worker is gone")
            return SOUND

        return types.SimpleNamespace(done=lambda: True, result=result, status="finished")


def test_a_worker_process_that_dies_while_it_is_greeted_is_replaced():
    client = Dying()
    lanes = worker_lanes.ClusterLanes(client, Order("run", "compact", "cpu", 0, own=True), [])
    lanes.wait(5.0, 1, Progress())
    assert client.ran == ["tcp://a:1", "tcp://b:2"] and list(lanes.places()) == ["tcp://b:2"]


class Killing(Deserted):
    """A client whose workers, each new, die on their first words, for want of memory."""

    number = 0

    def nthreads(self):
        self.number += 1
        return {f"tcp://a:{self.number}": 1}

    def run(self, *_, **__):
        pass

    def submit(self, *_, **__):
        return types.SimpleNamespace(done=lambda: False)


def test_worker_processes_that_die_again_and_again_are_not_waited_for():
    lanes = worker_lanes.ClusterLanes(Killing(), Order("run", "compact", "cpu", 0, own=True), [])
    with pytest.raises(ClusterError, match=r"0 of 2.*ended 9 times.*little memory.*fewer --work"):
        lanes.wait(600.0, 2, Progress())
    lanes = worker_lanes.ClusterLanes(Killing(), Order("run", "compact", "cpu", 0, own=True), [])
    lanes._info = INFO
    with pytest.raises(ClusterLostError, match=r"What was done is kept.*fewer --workers"):
        for _ in range(100):
            lanes._refresh()


def test_workers_of_a_scheduler_that_die_again_and_again_are_named():
    lanes = worker_lanes.ClusterLanes(Killing(), Order("run", "compact", "cpu", 0, own=False), [])
    with pytest.raises(ClusterError, match=r"0 of 1.*Workers ended \d+ times.*look into their log"):
        lanes.wait(1.0, 1, Progress())
    lanes._refresh()
    lanes._died_loading = 2
    lanes._refresh()
    assert any("is gone. Workers ended 3 times" in note for note in lanes.notes())


def test_a_scheduler_that_goes_away_between_two_looks_is_one_line():
    """Whatever is asked of its client then raises something of Dask's own."""

    class Gone(Killing):
        def cancel(self, futures):
            self.cancelled = len(futures)
            raise worker_lanes.CLOSED("Client is closed. Can't send cancel-keys message.")

        def submit(self, *_, **__):
            raise worker_lanes.CLOSED("Client is closed. Can't send update-graph message.")

    client = Gone()
    lanes = worker_lanes.ClusterLanes(client, Order("run", "compact", "cpu", 0, own=False), [])
    with pytest.raises(ClusterLostError, match=r"the Dask scheduler went away\. What was done"):
        lanes.submit("tcp://a:1", 1, None)
    lanes._in_hand[2] = "tcp://a:1", types.SimpleNamespace(status="pending")
    lanes._give_up("tcp://a:1")
    assert client.cancelled == 1 and lanes.next(0.0).number == 2
    lanes.keep(contextlib.ExitStack())
    lanes.close()


def test_a_package_that_a_worker_lacks_is_named():
    class Bare(Silent):
        def submit(self, *_, **__):
            error = ModuleNotFoundError("No module named 'torch'", name="torch")
            return types.SimpleNamespace(done=lambda: True, status="error", exception=lambda: error)

    lanes = worker_lanes.ClusterLanes(Bare(), Order("run", "compact", "cpu", 0, own=False), [])
    with pytest.raises(ClusterError, match=r"tcp://a:1: it cannot load.*'torch'.*Install"):
        lanes.wait(5.0, 1, Progress())


def test_a_worker_that_does_not_see_the_weights_says_where_they_belong(tmp_path):
    order = Order("run", str(tmp_path / "mine.pt"), "cpu", 0, own=False)
    text = stranger("tcp://a:1", describe(order, []), expected=INFO)
    assert re.search(r"the weights .*mine\.pt are not there\. Put the same file under", text), text


def test_another_version_of_the_scheduler_is_told_in_one_line(monkeypatch, recwarn):
    """Dask warns of it with a table of its own."""

    def client(*_, **__):
        warnings.warn(VersionMismatchWarning("a table"), stacklevel=2)
        found = {"client": versions(), "scheduler": versions(dask="2024.8.0"), "workers": {}}
        return types.SimpleNamespace(get_versions=lambda: found, close=lambda: None)

    monkeypatch.setattr(cluster, "Client", client)
    with pytest.raises(ClusterError, match=r"the scheduler runs dask 2024\.8\.0.*Install the same"):
        cluster._connected("tcp://127.0.0.1:1")
    assert not recwarn.list


def test_worker_processes_that_never_come_back_end_the_run(monkeypatch):
    order = Order("run", "compact", "cpu", 0, own=True)
    lanes = worker_lanes.ClusterLanes(Deserted(), order, [])
    lanes._info = INFO
    monkeypatch.setattr(worker_lanes, "REFRESH_S", -1.0)
    monkeypatch.setattr(worker_lanes, "SILENCE_S", -1.0)
    assert lanes.places() == {}
    assert lanes.notes() == ["waiting for worker processes to start again"]
    monkeypatch.setattr(worker_lanes, "START_S", -1.0)
    with pytest.raises(ClusterLostError, match=r"What was done is kept.*fewer --workers"):
        lanes.places()


SHIPPED = configs_dir() / "cluster_slurm.yaml"


@pytest.fixture()
def queue_of(tmp_path):
    """A queue of the real dask-jobqueue on the loopback, from the content of its file."""
    queues = []

    def make(content):
        path = tmp_path / "c.yaml"
        path.write_text(content)
        queues.append(BatchQueue(read_batch_jobs(path)))
        return queues[-1]

    yield make
    for queue in queues:
        queue.cluster.close(timeout=5.0)


OPTIONS = "queue: x, cores: 8, processes: 2, memory: 32GB, walltime: '04:00:00', interface: lo"
JOBS = f"kind: slurm\njobs: 3\noptions: {{{OPTIONS}}}\n"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its loopback is called lo")


def test_the_shipped_cluster_file_is_taken():
    made = read_batch_jobs(SHIPPED)
    assert (made.kind, made.jobs, made.options["walltime"]) == ("slurm", 4, "04:00:00")


@linux
def test_jobs_serve_nothing_to_browsers_unless_asked(queue_of):
    script = queue_of(JOBS).cluster.job_script()
    assert "#SBATCH -p x" in script and "#SBATCH -t 04:00:00" in script
    assert "--dashboard-address 127.0.0.1:0 --no-dashboard" in script and "--nworkers 2" in script
    asked = queue_of(
        JOBS[:-2] + ", worker_extra_args: [--dashboard], "
        "scheduler_options: {dashboard_address: '127.0.0.1:0'}}\n"
    )
    assert "--no-dashboard" not in asked.cluster.job_script()
    assert "--dashboard " in asked.cluster.job_script() + " "


class Ended:
    """A job that was handed in."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    async def close(self):
        self.log.append(f"withdrawn {self.name}")


@linux
def test_jobs_that_end_before_a_worker_can_be_used_are_given_up(queue_of, monkeypatch):
    queue, log = queue_of(JOBS), []
    queue.cluster.worker_spec |= {"a": {}, "a-b": {}}
    queue.cluster.workers |= {"a": Ended("a", log), "a-b": Ended("a-b", log)}
    seen = ["a-0", "a-1"]
    monkeypatch.setattr(
        queue.cluster.scheduler, "workers",
        {name: types.SimpleNamespace(name=name) for name in seen},
    )  # fmt: skip
    assert list(queue.keep_up(usable=False)) == []
    assert queue._with_workers() == {"a"}  # of two processes; nothing is known of the other
    monkeypatch.setattr(queue.cluster.scheduler, "workers", {})
    monkeypatch.setattr("fociquant.run.jobqueue.ENDED_S", -1.0)

    async def handed_in():
        log.append("handed in")
        if log.count("handed in") == 2:
            raise RuntimeError("Exit code: 1\nstderr:\nsbatch: error: too many jobs\n\n")

    monkeypatch.setattr(queue, "_hand_in_missing", handed_in)
    monkeypatch.setattr("fociquant.run.jobqueue.AGAIN_S", 0.0)

    def next_note():
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if notes := list(queue.keep_up(usable=False)):
                queue._seen |= {"a": 0.0}
                return notes
            time.sleep(0.01)
        raise AssertionError("nothing was said")

    again = ["1 of 3 jobs had ended and are handed in again"]
    assert next_note() == again
    assert next_note() == ["jobs that ended cannot be handed in again: sbatch: error: too many "
                           "jobs. It is tried again."]  # fmt: skip
    assert [next_note() for _ in range(RENEWALS - 1)] == [again] * (RENEWALS - 1)
    with pytest.raises(ClusterLostError, match=r"ended 4 times before.*logs.*kept"):
        next_note()
    assert log[:3] == ["withdrawn a", "handed in", "handed in"]
    queue.cluster.worker_spec.clear()


def test_ctrl_c_stays_what_it_was_whatever_jobqueue_does_at_its_import(monkeypatch, tmp_path):
    (tmp_path / "dask_jobqueue.py").write_text(
        "import signal, sys\nsignal.signal(signal.SIGINT, lambda *_: sys.exit())\n"
        "class SLURMCluster:\n"
        "    def __init__(self, **options): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dask_jobqueue", raising=False)
    before = signal.getsignal(signal.SIGINT)
    BatchQueue(read_batch_jobs(SHIPPED))
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.delitem(sys.modules, "dask_jobqueue")


def test_weights_of_another_content_on_the_workers_are_refused(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"weights")
    found = dataclasses.replace(UphillSegmenter().info, sha256=file_sha256(path))
    _require_same(path, found)
    with pytest.raises(ClusterError, match="the workers have other weights"):
        _require_same(path, dataclasses.replace(found, sha256="0" * 64))


@linux
@pytest.mark.filterwarnings("ignore:unclosed cluster:ResourceWarning")  # it was never whole
def test_an_option_that_jobqueue_does_not_know_is_said(queue_of):
    with pytest.raises(ClusterError, match=r"cors.*Correct 'options'"):
        queue_of(JOBS.replace("cores", "cors"))


def test_without_jobqueue_the_cure_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ClusterError, match="pip install dask-jobqueue"):
        BatchQueue(read_batch_jobs(SHIPPED))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("kind: slurm\njobs: 0\noptions: {}\n", "jobs"),
        ("kind: cron\njobs: 1\noptions: {}\n", "kind"),
        ("kind: slurm\njobs: 1\noptions: {}\nqueue: x\n", "unknown key 'queue'"),
        ("kind: slurm\njobs: 1\n", "options"),
    ],
)
def test_a_wrong_cluster_file_names_its_key(tmp_path, content, expected):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ClusterError, match=expected):
        read_batch_jobs(path)


def test_a_ctrl_c_that_ends_workers_while_they_start_ends_the_run():
    """As on Windows, where every process of the terminal gets it; nothing is started again."""
    starts = []

    def interrupted():
        starts.append(1)
        _thread.interrupt_main()
        time.sleep(0.1)
        raise RuntimeError("Nanny failed to start.")

    with pytest.raises(KeyboardInterrupt):
        cluster._started(interrupted)
    assert starts == [1]
