"""Site files, and the job scripts that are made of them."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reco.batch.engine import job_script
from reco.batch.site import SHARED, Dask, HTCondor, Local, Slurm, environments, load, with_workers
from reco.errors import ConfigError
from tests.conftest import ROOT

pytest.importorskip("dask_jobqueue")
CONTAINER = """
container:
  image: "/images/reco v1.sif"
  bind: [/data, "/scratch:/tmp"]
"""


@pytest.fixture
def site(tmp_path):
    def write(text: str) -> object:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return load(str(path))

    return write


@pytest.mark.parametrize("name", [path.stem for path in SHARED.glob("*.yaml")])
def test_shipped_sites_are_right(name):
    assert load(name).kind == name


def test_there_is_a_site_of_each_kind():
    kinds = [type(load(name)) for name in ("local", "slurm", "htcondor", "dask")]
    assert kinds == [Local, Slurm, HTCondor, Dask]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: slrum\njobs: 1", "did you mean 'slurm'"),
        ("jobs: 1", "kind: 'None' is no kind of site"),
        ("kind: slurm\njobs: 1\nmemry: 1GB", "did you mean 'memory'"),
        ("kind: slurm\njobs: 0", "jobs"),
        ("kind: slurm\njobs: 1\nmemory: lots", "memory"),
        ("kind: slurm\njobs: 1\nwalltime: '1:00; rm'", "walltime"),
        ('kind: slurm\njobs: 1\nqueue: "a\\nrm -rf /"', "queue"),
        ("kind: slurm\njobs: 1\nenvironment: {'A=1; rm': x}", "environment"),
        ('kind: slurm\njobs: 1\nqueue: "gpu --wrap=x"', "queue"),
        ('kind: slurm\njobs: 1\naccount: "nova; rm"', "account"),
        ('kind: slurm\njobs: 1\ninterface: "ib0; rm"', "interface"),
        ('kind: htcondor\njobs: 1\ninterface: "$(rm)"', "interface"),
        ('kind: htcondor\njobs: 1\ndirectives: {a: "b\\nqueue 100"}', "directives"),
        ('kind: htcondor\njobs: 1\ndirectives: {a: "b\\\\"}', "directives"),
        ('kind: htcondor\njobs: 1\ndirectives: {"include command : rm #": b}', "directives"),
    ],
)
def test_a_wrong_site_is_refused(site, text, message):
    with pytest.raises(ConfigError, match=message):
        site(text)


def test_an_unknown_site_names_the_shipped_ones():
    with pytest.raises(ConfigError, match="dask, htcondor, local, slurm"):
        load("nersc")


def test_a_slurm_script(site):
    text = "kind: slurm\njobs: 3\ncores: 4\nmemory: 8GiB\ngpus: 1\nqueue: gpu\naccount: nova\n"
    text += "walltime: '02:00:00'\ndirectives: ['--constraint=a100']\nenvironment: {A: it's}\n"
    script = job_script(site(text + CONTAINER), Path("/out"))
    lines = script.splitlines()
    for directive in (
        "-p gpu", "-A nova", "-t 02:00:00", "--mem=8G", "--cpus-per-task=4", "--gres=gpu:1",
        "--constraint=a100", "-o /out/logs/%j.log", "-n 1",
    ):  # fmt: skip
        assert f"#SBATCH {directive}" in lines
    assert "export OMP_NUM_THREADS=4" in lines
    assert shlex.split("\n".join(x for x in lines if x.startswith("export A="))) == [
        "export",
        "A=it's",
    ]
    words = shlex.split(lines[-1])
    assert words[:10] == [
        "apptainer", "exec", "--nv", "--bind", "/data", "--bind", "/scratch:/tmp", "--bind", "/out",
        "/images/reco v1.sif",
    ]  # fmt: skip
    assert words[10:13] == ["python", "-m", "distributed.cli.dask_worker"]
    assert words[words.index("--nthreads") + 1] == "1"


def test_a_condor_submit_file(site):
    text = "kind: htcondor\njobs: 3\ncores: 4\nmemory: 8GiB\ndisk: 2GiB\ngpus: 1\n"
    text += "directives: {accounting_group: nova, +Flavour: '\"short\"'}\n"
    script = job_script(site(text + CONTAINER), Path("/out"))
    lines = script.splitlines()
    for line in (
        "RequestCpus = 4", f"MY.DaskWorkerMemory = {8 << 30}", f"MY.DaskWorkerDisk = {2 << 30}",
        "request_gpus = 1", "accounting_group = nova", '+Flavour = "short"',
        "Output = /out/logs/$(ClusterId).output", "Executable = /bin/sh", "Queue",
    ):  # fmt: skip
        assert line in lines
    command = next(line for line in lines if line.startswith("Arguments"))
    assert "apptainer exec --nv" in command
    assert "export OMP_NUM_THREADS=4" in command
    assert "--nthreads 1" in command


@pytest.mark.parametrize("name", ["slurm", "htcondor"])
@pytest.mark.parametrize("folder", ["/out dir", "/a;b", "/a'b", "/$(a)", "/a\nrm", "/a%j", "/a\\b"])
def test_a_folder_whose_name_means_something_in_a_script_is_refused(name, folder):
    """The keys of Dask lie in it, and their paths go into the command as they are."""
    with pytest.raises(ConfigError, match="jobs need an output folder with only letters"):
        job_script(load(name), Path(folder))
    for plain in ("/home/jos\u00e9/run=2,x/2024-01-01T10:00", "/out+~/_a.b@c"):
        assert job_script(load(name), Path(plain))


def test_ctrl_c_stays_ours():
    """dask_jobqueue ends the process by itself, without a word of how to go on."""
    words = "import signal; from pathlib import Path; from reco.batch import engine, site"
    words += "; engine.job_script(site.load('slurm'), Path('/out'))"
    words += "; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=True)


def test_workers_of_this_machine_have_their_share_of_threads():
    site = Local(kind="local", workers=3, threads=2)
    assert [e["OMP_NUM_THREADS"] for e in environments(site)] == ["2"] * 3
    assert len(environments(with_workers(site, 5))) == 5


def test_the_number_of_workers_can_be_changed_but_for_a_running_scheduler():
    assert with_workers(load("slurm"), 7).jobs == 7
    with pytest.raises(ConfigError, match="has its own"):
        with_workers(load("dask"), 7)
