"""Gives work items to workers, through Dask, and tries those again that fail."""

import logging
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from reco.batch.manifest import Failure, Shard
from reco.batch.plan import WorkItem, without_path
from reco.batch.site import LOGS, Dask, HTCondor, Local, Site, Slurm, environments
from reco.batch.worker import Job, run_item
from reco.errors import RecoError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.spec import SpecCluster

MOST_WAITING = 20_000
"""Items that Dask knows of at a time: more than workers, few enough for its scheduler."""
LOT = 500
"""Items that Dask is given at once: one by one, each costs its scheduler more."""
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_REPAIRS = 10.0

Result = Shard | Failure


def here(job: Job, items: Iterable[WorkItem], tries: int) -> Iterator[list[Result]]:
    """Run items in this process, one after the other."""
    for item in items:
        result = attempt(job, item)
        for n in range(2, tries + 1):
            if isinstance(result, Failure):
                result = _with_tries(attempt(job, item), n)
        yield [result]


def attempt(job: Job, item: WorkItem) -> Result:
    """Run an item; what it raises becomes a Failure that names this machine."""
    try:
        return run_item(job, item)
    except Exception as error:
        kind = "" if isinstance(error, RecoError) else f"{type(error).__name__}: "
        text = f"{kind}{without_path(error, item.path)} (on {socket.gethostname()})"
        return Failure(item, text, _address())


def _address() -> str:
    distributed = sys.modules.get("distributed")  # a job of an array need not have it
    try:
        return str(distributed.get_worker().address) if distributed else ""
    except ValueError:  # not in a worker
        return ""


def _with_tries(result: Result, tries: int) -> Result:
    """Dask's own tries are known already."""
    if isinstance(result, Shard):
        return result
    return replace(result, tries=max(tries, result.tries))


def on_workers(
    client: "Client",
    run: Callable[[Job, WorkItem], Result],
    job: Job,
    items: Iterable[WorkItem],
    tries: int,
) -> Iterator[list[Result]]:
    """Run items on the workers of a Dask client; results come in any order, some at a time.

    An item that fails goes to another worker where there is one. It is given up after so many
    tries, or when as many workers died with it. An empty list means that nothing came for a while.
    """
    running = _Running(client, run, job, tries)
    waiting = iter(items)
    while True:
        if len(running) <= MOST_WAITING - LOT and (lot := list(islice(waiting, LOT))):
            running.begin(lot)
        if not len(running):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
        running.unbind()
        yield running.done()


class _Running:
    """The items that the workers of a client have."""

    def __init__(
        self, client: "Client", run: Callable[[Job, WorkItem], Result], job: Job, tries: int
    ) -> None:
        from distributed import as_completed

        self.client, self.attempt, self.tries = client, partial(run, job), tries
        self.begun: Counter[WorkItem] = Counter()
        self.items: dict[Any, WorkItem] = {}
        self.bound: dict[Any, tuple[Any, set[str]]] = {}
        self.finished = as_completed(with_results=True, raise_errors=False)
        # other runs may use the same scheduler, to which equal keys are the same task
        self.keys = zip(repeat(f"shards-{uuid4().hex}"), count(), strict=False)

    def __len__(self) -> int:
        return len(self.items)

    def begin(self, items: list[WorkItem], not_on: str = "") -> None:
        """not_on: a worker that had them before; another one is preferred."""
        self.begun.update(items)
        others = {w for w in self.client.nthreads() if w != not_on} if not_on else set()
        futures = self.client.map(
            self.attempt,
            items,
            key=list(islice(self.keys, len(items))),
            workers=sorted(others) or None,
            allow_other_workers=bool(others),
        )
        self.items.update({f.key: item for f, item in zip(futures, items, strict=True)})
        if others:
            self.bound.update({future.key: (future, others) for future in futures})
        self.finished.update(futures)

    def done(self) -> list[Result]:
        """What has come since the last call; items that failed and have tries left begin again."""
        results = []
        for future, found in self.finished.next_batch(block=False):
            if future.key not in self.items:
                continue
            item = self.items.pop(future.key)
            self.bound.pop(future.key, None)
            result = _result(item, found)
            if isinstance(result, Failure) and result.worker and self.begun[item] < self.tries:
                self.begin([item], not_on=result.worker)
            else:
                results.append(_with_tries(result, self.begun.pop(item)))
        return results

    def unbind(self) -> None:
        """Dask leaves a task for good whose workers have all died, even if others are allowed."""
        alive = set(self.client.nthreads()) if self.bound else set()
        for key in [key for key, (_, others) in self.bound.items() if not others & alive]:
            self.bound.pop(key)[0].cancel()
            item = self.items.pop(key)
            self.begun[item] -= 1
            self.begin([item])


def _result(item: WorkItem, found: Any) -> Result:
    """What `attempt` gave, or a Failure without a worker where Dask itself gave up."""
    if isinstance(found, Shard | Failure):
        return found
    if isinstance(found, tuple):  # type, error, traceback
        deaths = getattr(found[1], "allowed_failures", 0) + 1
        return Failure(item, f"its worker died, each time ({found[1]})", tries=deaths)
    raise RecoError("the Dask scheduler is gone; submit again to go on")


@contextmanager
def workers(site: Site, folder: Path, tries: int) -> Iterator["Client"]:
    """Start the workers of a site and end them with the block. Raises RecoError.

    All that Dask sends is encrypted, with keys made for this run, unless the site is a scheduler
    that runs already: whoever reaches a Dask port unasked could run code as this user.
    """
    import dask
    from distributed import Client

    if isinstance(site, Dask):
        with _existing(site) as client:
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": tries - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # an item waits for no busy worker
        "distributed.comm.timeouts.tcp": "10 minutes",  # a busy machine is no dead one
        "distributed.comm.timeouts.connect": "2 minutes",
        "distributed.worker.memory.pause": False,  # a paused worker might never go on
        "distributed.worker.profile.enabled": False,  # a hundred looks a second at the worker
    }
    with dask.config.set(settings), _cluster(site, folder) as cluster, Client(cluster) as client:
        yield client


def _cluster(site: Local | Slurm | HTCondor, folder: Path) -> "SpecCluster":
    from tornado.ioloop import PeriodicCallback

    cluster, number = _processes(site) if isinstance(site, Local) else _jobs(site, folder)
    # a worker that is lost for good is replaced when the cluster is scaled, and only then
    again = PeriodicCallback(lambda: cluster.scale(number), 1e3 * SECONDS_BETWEEN_REPAIRS)
    cluster.loop.add_callback(again.start)
    return cluster


def _jobs(site: Slurm | HTCondor, folder: Path) -> "tuple[SpecCluster, int]":
    from distributed import Security

    options = site.options(folder) | {"shared_temp_directory": str(folder)}
    (folder / LOGS).mkdir(exist_ok=True)
    try:
        cluster = _queue_of(site)[0](security=Security.temporary(), **options)
        cluster.scale(site.jobs)
    except (OSError, RuntimeError, ValueError) as error:
        raise RecoError(f"jobs cannot be submitted: {error}") from None
    return cluster, site.jobs


def job_script(site: Slurm | HTCondor, folder: Path) -> str:
    """What would be given to the batch system for each worker."""
    job = _queue_of(site)[1]("tls://SUBMITTER:PORT", name="reco-0", **site.options(folder))
    return str(job.job_script())


def _queue_of(site: Slurm | HTCondor) -> tuple[Any, Any]:
    """The classes of dask-jobqueue for a cluster and for one of its jobs."""
    if threading.current_thread() is not threading.main_thread():
        raise RecoError("jobs are submitted from the main thread of a process alone")
    interrupted = signal.getsignal(signal.SIGINT)
    from dask_jobqueue import HTCondorCluster, SLURMCluster

    if interrupted is not None:
        signal.signal(signal.SIGINT, interrupted)  # it takes Ctrl-C for itself
    cluster = SLURMCluster if isinstance(site, Slurm) else HTCondorCluster
    return cluster, cluster.job_cls


def _processes(site: Local) -> "tuple[SpecCluster, int]":
    from distributed import Nanny, Scheduler, Security
    from distributed.deploy.spec import SpecCluster

    security = Security.temporary()
    common = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    quiet = {"silence_logs": logging.ERROR}
    worker = common | quiet | {"nthreads": 1, "memory_limit": site.memory or 0}
    specs = {
        number: {"cls": Nanny, "options": worker | {"env": environment}}
        for number, environment in enumerate(environments(site))
    }
    scheduler = {"cls": Scheduler, "options": common | {"dashboard_address": "127.0.0.1:0"}}
    cluster = SpecCluster(workers=specs, scheduler=scheduler, security=security, **quiet)
    return cluster, len(specs)


def _existing(site: Dask) -> "Client":
    from distributed import Client, Security

    security = None
    if site.ca:
        security = Security(
            tls_ca_file=site.ca,
            tls_client_cert=site.certificate,
            tls_client_key=site.key,
            require_encryption=True,
        )
    try:
        return Client(site.address, security=security)
    except (OSError, ValueError) as error:
        raise RecoError(f"{site.address}: no Dask scheduler answers there ({error})") from None
