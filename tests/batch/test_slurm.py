"""A real Slurm of one node, started here: jobs that are killed, cancelled, out of time.

Needs Debian's `slurm-wlm` and `munge`; `pytest -m slow tests/batch/test_slurm.py`.
"""

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from reco.batch.manifest import SHARDS
from reco.batch.merge import merge
from tests.batch.conftest import (
    SLOW,
    begin,
    columns,
    energies,
    in_one_process,
    pipeline,
    same_bits,
    wait_until,
)
from tests.conftest import ROOT
from tests.test_cli import hits_file

pytest.importorskip("dask_jobqueue")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)) or os.getuid() != 0, reason="needs Slurm, and root"
    ),
]
SITE = """
kind: slurm
jobs: 2
memory: 1GB
walltime: "{minutes}"
"""
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=27817
SlurmdPort=27818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def sh(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=60)
    return done.stdout


def stop(pid_file: Path, sent: int = signal.SIGTERM) -> None:
    try:
        process = psutil.Process(int(pid_file.read_text()))
        process.send_signal(sent)
        process.wait(30)
    except (OSError, ValueError, psutil.Error):
        pass


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a cluster of this machine alone, which ends with the test."""
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = platform.node()
    cpus = min(2, os.cpu_count() or 1)
    text = CONFIGURATION.format(folder=folder, host=host, cpus=cpus)
    (folder / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    files = {"key-file": key, "socket": folder / "munge.socket", "seed-file": folder / "seed"}
    files |= {"pid-file": folder / "munged.pid", "log-file": folder / "munged.log"}
    sh("munged", "--force", *(f"--{name}={path}" for name, path in files.items()))
    sh("slurmctld")
    sh("slurmd")
    try:
        wait_until(lambda: "idle" in sh("sinfo", "-h", "-o", "%t"), 60)
        yield folder
    finally:
        sh("scancel", "--full", "-u", "root")
        for daemon in ("slurmd", "slurmctld", "munged"):
            stop(folder / f"{daemon}.pid", signal.SIGKILL)


@pytest.fixture
def work(tmp_path: Path) -> tuple[Path, list[Path]]:
    """24 items of two events, a second or so each."""
    chain = pipeline(tmp_path, stage=f"{SLOW}: {{seconds: 1.0}}")
    return chain, [hits_file(tmp_path / "a.h5", *energies(48, seed=1))]


def jobs() -> list[str]:
    """Of those that run."""
    return sh("squeue", "-h", "-t", "running", "-o", "%i").split()


def n_shards(output: Path) -> int:
    return len(list((output / SHARDS).glob("*/*.h5")))


def ready(output: Path, process: "subprocess.Popen[str]", least: int) -> None:
    wait_until(lambda: n_shards(output) >= least or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]


def is_whole(output: Path, chain: Path, inputs: list[Path], folder: Path) -> bool:
    merge(output, folder / "m.h5")
    return same_bits(columns(folder / "m.h5"), in_one_process(chain, inputs, folder / "single"))


def submitted(work, tmp_path, minutes="00:10:00"):
    (tmp_path / "site.yaml").write_text(SITE.format(minutes=minutes))
    words = ("submit", work[0], *work[1], "-o", tmp_path / "out", "--events", 2)
    return begin(*words, "--site", tmp_path / "site.yaml")


def test_jobs_that_are_killed_and_cancelled_are_replaced(slurm, work, tmp_path, processes):
    process = submitted(work, tmp_path)
    processes.append(process)
    ready(tmp_path / "out", process, 2)
    first = jobs()
    sh("scancel", "--signal=KILL", "--full", first[0])
    ready(tmp_path / "out", process, 5)
    sh("scancel", *jobs()[:1])
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert "24 of 24 done" in out
    assert is_whole(tmp_path / "out", *work, tmp_path)
    wait_until(lambda: not jobs(), 30)


def test_the_controller_may_be_killed_and_come_back(slurm, work, tmp_path, processes):
    process = submitted(work, tmp_path)
    processes.append(process)
    ready(tmp_path / "out", process, 2)
    stop(slurm / "slurmctld.pid", signal.SIGKILL)
    before = n_shards(tmp_path / "out")
    ready(tmp_path / "out", process, before + 4)
    sh("slurmctld")
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert is_whole(tmp_path / "out", *work, tmp_path)


def test_a_submitter_that_is_killed_is_followed_by_another(slurm, work, tmp_path, processes):
    process = submitted(work, tmp_path)
    processes.append(process)
    ready(tmp_path / "out", process, 3)
    process.kill()
    process.wait()
    again = submitted(work, tmp_path)
    processes.append(again)
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out
    assert is_whole(tmp_path / "out", *work, tmp_path)


def test_jobs_that_run_out_of_time_are_replaced(slurm, tmp_path, processes):
    """Slurm counts in minutes, and ends a job some 30 seconds late."""
    chain = pipeline(tmp_path, stage=f"{SLOW}: {{seconds: 8.0}}")
    work = chain, [hits_file(tmp_path / "a.h5", *energies(48, seed=1))]
    process = submitted(work, tmp_path, minutes="00:01:00")
    processes.append(process)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert len(list((tmp_path / "out" / "logs").glob("*.log"))) > 2
    assert is_whole(tmp_path / "out", *work, tmp_path)


def trained(folder: Path) -> int:
    """Train with two processes, as a job; its exit code."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    job = shlex.join([*words, "-m", "tests.batch.training", str(folder)])
    options = ["--wait", "-c2", f"--chdir={ROOT}", f"--output={folder}/%j.log", "--wrap", job]
    return subprocess.run(["sbatch", *options], capture_output=True, timeout=900).returncode


def test_a_training_that_was_lost_goes_on_in_the_next_job(slurm, tmp_path):
    lost, whole = tmp_path / "lost", tmp_path / "whole"
    for folder in (lost, whole):
        folder.mkdir()
    (whole / "was lost").touch()
    assert (trained(lost), trained(lost), trained(whole)) == (1, 0, 0)
    a, b = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (lost, whole))
    assert a["step"] == b["step"]
    for part in ("module", "average"):
        assert all(torch.equal(value, b[part][name]) for name, value in a[part].items())
