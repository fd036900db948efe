"""`reco submit`, `status`, `merge` and `run --shard`, as commands."""

import signal
from pathlib import Path

import psutil
import pytest

import reco
from reco.batch.manifest import SHARDS, ledger
from reco.batch.merge import merge
from reco.cli.submit import part_of
from reco.errors import RecoError
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
from tests.test_cli import hits_file, reco_command

pytest.importorskip("distributed")
__all__ = ["reco_command"]


def test_submit_status_merge(reco_command, tmp_path):
    hits_file(Path("a.h5"), *energies(9, seed=1))
    hits_file(Path("b.h5"), [1.0], [13.0])
    words = ("submit", "chain.yaml", "?.h5", "-o", "out", "--events", 4, "-j", 1)
    code, out, err = reco_command(*words, "--dry-run")
    assert code == 0
    assert "4 items to do, 11 events, of 2 files\n1 processes on this machine" in out
    assert not Path("out").exists()
    code, out, err = reco_command(*words)
    assert code == 3  # an event failed
    assert "4 of 4 done" in out
    assert "11/11 events" in err
    assert reco_command("status", "out")[:2] == (3, out)
    assert reco_command(*words)[1] == out
    code, out, _ = reco_command("merge", "out", "-o", "m.h5")
    assert (code, out) == (0, "11 events written to m.h5\n")
    assert len(reco.open("m.h5")) == 11
    assert reco_command("merge", "out", "-o", "m.h5")[0] == 1
    assert reco_command("merge", "out", "-o", "m.h5", "--overwrite")[0] == 0


def test_parts_for_an_array_of_jobs(reco_command):
    hits_file(Path("a.h5"), *energies(9, seed=1))
    for k in (1, 2):
        code, out, _ = reco_command("run", "chain.yaml", "a.h5", "-o", "out", "--shard", f"{k}/2")
        assert code == 0
    assert "1 of 1 done" in out
    assert reco_command("merge", "out", "-o", "m.h5")[0] == 0
    code, _, err = reco_command("run", "chain.yaml", "a.h5", "--shard", "1/2", "--stop", 3)
    assert code == 1
    assert "--shard does not go with --stop" in err


def test_an_input_that_cannot_be_read_is_named_once(reco_command):
    Path("a.h5").write_text("no file of events")
    for words in (["--dry-run"], []):
        code, out, _ = reco_command("submit", "chain.yaml", "a.h5", "-o", "out", *words)
        assert code == (0 if words else 3)
        assert out.count("a.h5") == 1
        assert f"unreadable: {Path('a.h5').absolute()}: " in out
    assert "items       none" in out
    assert "0 of 0" not in out


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/4/2", "-1/4"])
def test_a_part_is_one_of_so_many(text):
    with pytest.raises(RecoError, match="with K from 1 to N"):
        part_of(text)
    assert part_of("4/4") == (4, 4)


def test_nothing_to_tell(reco_command, tmp_path):
    code, _, err = reco_command("status", tmp_path)
    assert code == 1
    assert "holds no manifest" in err


@pytest.mark.slow
def test_workers_and_submitters_that_are_killed(tmp_path, processes):
    """One worker, then the submitter; the next one goes on; all bits are those of one process."""
    chain = pipeline(tmp_path, stage=f"{SLOW}: {{seconds: 0.5}}")
    inputs = [hits_file(tmp_path / "a.h5", *energies(60, seed=1))]
    output = tmp_path / "out"
    words = ("submit", chain, *inputs, "-o", output, "--events", 2, "-j", 2)

    def shards() -> int:
        return len(list((output / SHARDS).glob("*/*.h5")))

    process = begin(*words)
    processes.append(process)
    wait_until(lambda: shards() >= 2)
    children = psutil.Process(process.pid).children(recursive=True)
    worker = next(p for p in children if "spawn_main" in " ".join(p.cmdline()))
    worker.send_signal(signal.SIGKILL)
    wait_until(lambda: shards() >= 8)
    second = begin(*words)
    processes.append(second)
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 1
    assert f"another run (process {process.pid} on" in out
    process.kill()
    process.wait()
    recorded = set(ledger(output).shards)
    assert 0 < len(recorded) < 30
    third = begin(*words)
    processes.append(third)
    out, _ = third.communicate(timeout=600)
    assert third.returncode == 0, out
    assert recorded < set(ledger(output).shards)
    assert shards() == 30
    merge(output, tmp_path / "m.h5")
    assert same_bits(columns(tmp_path / "m.h5"), in_one_process(chain, inputs, tmp_path / "one"))


@pytest.mark.slow
def test_an_input_that_kills_its_workers_is_set_aside(tmp_path, processes):
    chain = pipeline(tmp_path, stage=f"{SLOW}: {{seconds: 0.0}}")
    values = energies(12, seed=1)
    values[5] = [29.0]
    inputs = [hits_file(tmp_path / "a.h5", *values)]
    words = ("submit", chain, *inputs, "-o", tmp_path / "out", "--events", 2, "-j", 2)
    process = begin(*words, "--tries", 2)
    processes.append(process)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 3, out
    assert "5 of 6 done" in out
    assert "set aside: " in out
    assert "events 4 to 6: 2 tries: its worker died, each time" in out
