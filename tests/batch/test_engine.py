"""Items on workers of Dask: failures, deaths, and what is given up."""

import os
import signal
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from reco.batch.engine import on_workers, workers
from reco.batch.manifest import Failure, Shard
from reco.batch.plan import Recipe, WorkItem
from reco.batch.site import Dask, Local
from reco.batch.worker import Job
from reco.errors import RecoError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
N_ITEMS = 30


def act(job: Job, item: WorkItem) -> Shard | Failure:
    """Item 3 fails wherever it is tried first; 5 always; 7 kills its worker once; 11 always."""
    been = Path(job.folder, f"{item.start}-{os.getpid()}")
    first = not list(Path(job.folder).glob(f"{item.start}-*"))
    been.touch()
    if item.start == 5 or (item.start == 3 and first):
        return Failure(item, "no", distributed.get_worker().address)
    if item.start == 11 or (item.start == 7 and first):
        os.kill(os.getpid(), signal.SIGKILL)
    return Shard(item, str(os.getpid()), "", 0, 0, 0, 0.0, "")


@pytest.fixture
def job(tmp_path):
    return Job("{}", Recipe("", "", ""), str(tmp_path))


def items(n: int) -> list[WorkItem]:
    return [WorkItem("a", "", i, i + 1) for i in range(n)]


@pytest.mark.slow
def test_what_fails_is_tried_again_elsewhere_and_given_up_in_the_end(job, tmp_path):
    site = Local(kind="local", workers=2)
    with workers(site, tmp_path, tries=3) as client:
        client.wait_for_workers(2)
        batches = list(on_workers(client, act, job, items(N_ITEMS), tries=3))
    results = {r.item.start: r for batch in batches for r in batch}
    assert len(results) == sum(map(len, batches)) == N_ITEMS
    lost = {start: r for start, r in results.items() if isinstance(r, Failure)}
    assert lost.keys() == {5, 11}
    assert lost[5].tries == 3
    assert "its worker died, each time" in lost[11].message
    # a try on another worker, not only another try
    assert len(list(tmp_path.glob("3-*"))) == 2
    assert len(list(tmp_path.glob("7-*"))) >= 2
    assert len(list(tmp_path.glob("11-*"))) >= 3


def stays(job: Job, item: WorkItem) -> Shard | Failure:
    """Fails once; the next try, wherever it is, waits until its worker is killed, once."""
    tried = Path(job.folder, "tried")
    if not tried.exists():
        tried.touch()
        return Failure(item, "no", distributed.get_worker().address)
    Path(job.folder, f"pid-{os.getpid()}").touch()
    if len(list(Path(job.folder).glob("pid-*"))) == 1:
        time.sleep(600)
    return Shard(item, "", "", 0, 0, 0, 0.0, "")


@pytest.mark.slow
def test_an_item_whose_other_workers_all_die_is_not_forgotten(job, tmp_path):
    """Dask alone would wait for them."""
    with workers(Local(kind="local", workers=2), tmp_path, tries=3) as client:
        client.wait_for_workers(2)
        found, killed = [], False
        for batch in on_workers(client, stays, job, items(1), tries=3):
            found += batch
            pids = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
            if pids and not killed:
                killed = True
                for pid in set(client.run(os.getpid).values()) | set(pids):
                    os.kill(pid, signal.SIGKILL)
    assert [type(result) for result in found] == [Shard]


def test_a_scheduler_that_runs_already(job, tmp_path):
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
    ) as cluster:
        site = Dask(kind="dask", address=cluster.scheduler_address)
        with workers(site, tmp_path, tries=2) as client:
            batches = list(on_workers(client, act, job, items(3), tries=2))
    assert sum(map(len, batches)) == 3


def waits(job: Job, item: WorkItem) -> Shard:
    time.sleep(0.5)
    return Shard(item, job.folder, "", 0, 0, 0, 0.0, "")


def test_two_runs_on_one_scheduler_keep_their_results_apart(job, tmp_path):
    """Of the same items: equal keys would be one task."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        folders = [str(tmp_path / name) for name in "ab"]
        both = [on_workers(client, waits, replace(job, folder=f), items(1), 1) for f in folders]
        begun = [next(run) for run in both]
        rest = [[*first, *chain.from_iterable(run)] for first, run in zip(begun, both, strict=True)]
    assert [[shard.name for shard in found] for found in rest] == [[f] for f in folders]


def test_no_scheduler_there(tmp_path):
    site = Dask(kind="dask", address="tcp://127.0.0.1:9")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(RecoError, match="no Dask scheduler answers"),
        workers(site, tmp_path, tries=2),
    ):
        pass
