import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import reco
from reco.cli import main
from reco.cli.app import app
from reco.cli.run import Request, _odd, outputs_of
from reco.data.products import Header, Hits
from reco.data.ragged import Ragged, offsets_of
from reco.errors import FormatError, RecoError
from reco.io.store import Writer
from reco.simulate.recipes import RECIPES
from tests.test_pipeline import pipeline

PIPELINE = """
stages:
  tests.stages_for_tests:Grid: {threshold: 0.1}
  tests.stages_for_tests:Classify: {}
  tests.stages_for_tests:Brightest: {}
"""
MISTAKEN = {
    "based.yaml": "base: lartcp",
    "empty.yaml": "detector: generic",
    "off.yaml": "stages: {voxelize: off}",
    "gap.yaml": "stages: {voxelize: {}, points: {}}",
    "two.yaml": "base: lartpc\ninput: {charge: q, energy: e}",
}
ROOT = Path(__file__).parents[1]


@pytest.fixture
def reco_command(monkeypatch, capsys, tmp_path):
    """Run the command line here: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chain.yaml").write_text(PIPELINE)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["reco", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(left.value.code or 0), out, err

    return run


def hits_file(path: Path, *values: list[float]) -> Path:
    offsets = offsets_of([len(v) for v in values])
    flat, number = np.concatenate(values), np.arange(len(values))
    with Writer(path, {}) as out:
        out.write(
            [
                Header(run=number * 0, subrun=number * 0, event=number, entry=number),
                Hits(
                    position=Ragged(np.ones((len(flat), 3)), offsets),
                    value=Ragged(flat, offsets),
                    time=Ragged(flat * 0, offsets),
                    quantity=number * 0,
                ),
            ]
        )
    return path


def cell(table: str, name: str) -> str:
    """First number in the row of a printed table."""
    row = next(line for line in table.splitlines() if line.startswith(f"│ {name} "))
    return row.split("│")[2].strip()


def test_run_shows_progress_and_a_summary(reco_command):
    hits_file(Path("a.h5"), [1.0, 2.0], [3.0], [0.01])
    code, out, err = reco_command("run", "chain.yaml", "a.h5")
    assert code == 0
    assert "3/3 events" in err
    assert "events/s" in err
    for name, value in {
        "events read": "3",
        "reconstructed": "2",
        "empty": "1",
        "voxels": "3",
    }.items():
        assert cell(out, name) == value
    for stage in ("read", "grid", "classify", "brightest", "write"):
        assert cell(out, stage).endswith(" s")
    assert len(reco.open("a_reco.h5")) == 3


def test_events_that_failed_show_in_the_exit_code(reco_command):
    hits_file(Path("a.h5"), [1.0], *[[13.0]] * 7)
    code, out, err = reco_command("run", "chain.yaml", "a.h5", "-o", "b.h5")
    assert code == 3
    assert cell(out, "failed") == "7"
    why = "grid: a hit of 13 MeV, which nobody wants"
    assert f"error: entries 1, 2, 3, 4, 5 and 2 more: {why}\n" in err
    assert err.count(why) == 1


def test_run_until_and_from(reco_command):
    hits_file(Path("a.h5"), [1.0, 2.0], [3.0])
    assert reco_command("run", "chain.yaml", "a.h5", "-o", "p.h5", "--until", "classify")[0] == 0
    code, out, _ = reco_command("run", "chain.yaml", "--from", "p.h5", "-o", "b.h5")
    assert code == 0
    assert " classify " not in out
    assert reco.open("b.h5").points.x.tolist() == [[1.0], [1.0]]


def test_options_reach_the_run(reco_command):
    hits_file(Path("a.h5"), [1.0], [2.0], [3.0], [4.0])
    words = "run chain.yaml a.h5 -o b.h5 --start 1 --stop 3 --device cpu --threads 1 --batch-size 7"
    change = "stages.tests.stages_for_tests:Grid.threshold=2.5"
    code, out, _ = reco_command(*words.split(), "--set", change)
    assert code == 0
    assert cell(out, "events read") == "2"
    f = reco.open("b.h5")
    assert f.voxels.energy.tolist() == [[], [3.0]]
    assert f.provenance["pipeline"]["run"] == {
        "batch_size": 7, "device": "cpu", "threads": 1, "precision": "auto"
    }  # fmt: skip


def test_several_inputs_go_to_a_folder(reco_command):
    for name in "ab":
        hits_file(Path(f"{name}.h5"), [1.0])
    code, _, err = reco_command("run", "chain.yaml", "[ab].h5")
    assert (code, "2 inputs need a folder" in err) == (1, True)
    code, _, err = reco_command("run", "chain.yaml", "[ab].h5", "-o", "out.h5")
    assert (code, "2 inputs need a folder" in err) == (1, True)
    assert reco_command("run", "chain.yaml", "[ab].h5", "-o", "out")[0] == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["a_reco.h5", "b_reco.h5"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run chain.yaml none.h5", "none.h5: no such file"),
        ("run chain.yaml", "give at least one INPUT"),
        ("run chain.yaml a.h5 --from a.h5", "not both"),
        ("run none.yaml a.h5", "'none.yaml': no such file"),
        ("run chain.yaml a.h5 --until clasify", "did you mean 'classify'?"),
        ("run chain.yaml a.h5 --set run.devise=cpu", "run.devise: unknown key; did you mean"),
        ("run chain.yaml a.h5 --set stages.segmnt.x=1", "did you mean 'segment'?"),
        ("run chain.yaml a.h5 --device tpu", "run.device"),
        ("run lartpcc a.h5", "did you mean 'lartpc'?"),
        ("run chain.yaml a.h5 --set detector=icaruss", "did you mean 'icarus'?"),
        ("run chain.yaml a.h5 --set detector=ICARUS2", "--set detector=ICARUS2: detector: "),
        ("run chain.yaml a.h5 --set detector=ICARUS2", "did you mean 'icarus'?"),
        (
            "run lartpc a.h5 --set run.batch_size=4 --set run.batch_size=a --set run.threads=1",
            "error: --set run.batch_size=a: run.batch_size",
        ),
        (
            "inspect a.h5 --set input.y=hy --set input.charge=q --set input.energy=e",
            "error: --set input.charge=q: --set input.energy=e: input: charge is 'q'",
        ),
        (
            "run lartpc a.h5 --set segment.weights=x",
            "error: --set segment.weights=x: segment: unknown key; did you mean 'stages.segment'?",
        ),
        ("run lartpc a.h5 --set batch_size=4", "did you mean 'run.batch_size'?"),
        ("run lartpc a.h5 --set run.batch_size=a", "error: --set run.batch_size=a: run.batch_size"),
        (
            "run lartpc a.h5 --set stages.points.x=1",
            "error: --set stages.points.x=1: stages.points",
        ),
        ("run lartpc a.h5 --set stages.segment.weights=segmnt", "did you mean 'segment'?"),
        ("run based.yaml a.h5", "based.yaml: base: 'lartcp' is neither"),
        ("run based.yaml a.h5", "did you mean 'lartpc'?"),
        ("run empty.yaml a.h5", "empty.yaml: no stage to run"),
        ("run off.yaml a.h5", "off.yaml: no stage to run"),
        ("run gap.yaml a.h5", "gap.yaml: stage 'points' needs Semantics"),
        ("run gap.yaml a.h5", "Semantics is made by 'segment': add it under `stages`"),
        ("run two.yaml a.h5", "two.yaml: input: charge is 'q' and energy is 'e'"),
        ("run chain.yaml a.h5 --start 9", "the file has 1"),
        ("run chain.yaml a.h5 -o no/b.h5", "no/b.h5: cannot write here"),
        ("run chain.yaml a.h5 -o a.h5", "is the input itself"),
        ("run chain.yaml chain.yaml", "chain.yaml: neither ROOT nor HDF5"),
        ("run chain.yaml --from other.h5", "other.h5: not a file written by reco"),
        ("inspect chain.yaml", "neither ROOT nor HDF5"),
        ("inspect none.root", "none.root"),
        ("evaluate none.h5", "none.h5: no such file"),
        ("evaluate a.h5", "names no detector"),
        ("simulate --off noize -o b.h5", "did you mean 'noise'?"),
        ("simulate --set response.nois=1 -o b.h5", "response.nois: unknown key"),
        ("simulate --set options.hadronic=FTF -o b.h5", "options.hadronic"),
        ("simulate --like other.h5 -o b.h5", "other.h5: not a file written by reco"),
        ("simulate -o a.h5", "a.h5: exists; add --overwrite"),
    ],
)
def test_mistakes_end_with_one_message(reco_command, words, message):
    hits_file(Path("a.h5"), [1.0])
    with h5py.File("other.h5", "w"):
        pass
    for name, text in MISTAKEN.items():
        Path(name).write_text(text)
    before = sorted(p.name for p in Path().iterdir())
    code, _, err = reco_command(*words.split())
    assert code == 1
    assert err.startswith("error: ")
    assert message in err
    assert sorted(p.name for p in Path().iterdir()) == before


@pytest.fixture
def heard():
    """Ctrl-C, which what a shell runs in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_says_what_is_kept(reco_command):
    hits_file(Path("a.h5"), [1.0])
    hits_file(Path("b.h5"), [1.0], [19.0])
    code, _, err = reco_command("run", "chain.yaml", "b.h5")
    assert (code, "b_reco.h5 was not written, nothing of this run is kept" in err) == (130, True)
    code, _, err = reco_command("run", "chain.yaml", "a.h5", "b.h5", "-o", "out")
    assert (code, "1 of 2 inputs are done and kept in out; the same command" in err) == (130, True)
    assert [path.name for path in Path("out").iterdir()] == ["a_reco.h5"]


def test_submit_without_dask_leaves_nothing(reco_command, monkeypatch):
    hits_file(Path("a.h5"), [1.0])
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = reco_command("submit", "chain.yaml", "a.h5", "-o", "out")
    assert (code, "lartpc-reco[batch]" in err, Path("out").exists()) == (1, True, False)


def test_run_tells_what_to_know_of_the_input(reco_command):
    with h5py.File("a.h5", "w") as file:
        for name in ("x", "y", "z", "charge", "energy", "event"):
            file[f"hits/{name}"] = [1.0]
    code, _, err = reco_command("run", "chain.yaml", "a.h5")
    assert (code, "note: hits have 'charge' and 'energy': 'charge' is taken" in err) == (0, True)


def test_run_tells_of_dead_boxes_that_it_does_not_know(reco_command):
    hits_file(Path("a.h5"), [1.0])
    with h5py.File("a.h5", "r+") as file:
        file.attrs["provenance"] = json.dumps({"detector": {"name": "mine", "dead": [{}, {}]}})
    code, _, err = reco_command("run", "chain.yaml", "a.h5")
    assert (code, "'mine', of which 2 boxes are dead; 'generic' has none" in err) == (0, True)


def test_an_output_is_kept_unless_told(reco_command):
    hits_file(Path("a.h5"), [1.0])
    words = ("run", "chain.yaml", "a.h5")
    assert [reco_command(*words)[0] for _ in range(2)] == [0, 1]
    assert reco_command(*words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [("rnu", "run"), ("inspct", "inspect"), ("run --overide", "--overwrite")],
)
def test_mistyped_commands_and_options(reco_command, words, suggestion):
    code, _, err = reco_command(*words.split())
    assert code == 2
    assert suggestion in err


def test_inspect_tells_inputs_from_outputs(reco_command):
    hits_file(Path("a.h5"), [1.0, 2.0], [3.0])
    code, out, _ = reco_command("inspect", "a.h5")
    assert code == 0
    assert "events    2" in out
    reco_command("run", "chain.yaml", "a.h5", "-o", "b.h5")
    code, out, _ = reco_command("inspect", "b.h5")
    assert code == 0
    assert "output of reco" in out
    assert "voxels (3 rows)" in out
    assert "grid, classify, brightest" in out


@pytest.mark.parametrize(("value", "odd"), [(0.6, False), (600.0, True), (0.02, True)])
def test_a_mistaken_unit_is_told(reco_command, value, odd):
    hits_file(Path("a.h5"), [], [value], [value / 2])
    told = "check `input.energy_unit` (MeV, GeV, keV) or `input.charge_unit` (ke, e)"
    assert (told in reco_command("inspect", "a.h5")[1]) is odd
    words = ("--until", "grid", "--set", "stages.tests.stages_for_tests:Grid.threshold=0")
    assert (told in reco_command("run", "chain.yaml", "a.h5", *words)[2]) is odd


@pytest.mark.parametrize(("pitch", "told"), [(0.3, False), (0.55, False), (0.99, True)])
def test_hits_sparser_than_the_voxels_are_told(reco_command, pitch, told):
    """And no unit is blamed for what they hold."""
    steps = 0.1 + pitch * np.arange(100.0)
    with h5py.File("a.h5", "w") as file:
        for name in ("x", "y", "z"):
            file[f"hits/{name}"] = steps if name == "z" else np.ones(100)
        file["hits/energy"], file["hits/event"] = np.full(100, 2.1 * pitch), np.zeros(100)
    note = f"hits lie {pitch:.2g} cm apart, voxels of the detector 'generic' measure 0.3 cm"
    for place, words in ((1, ("inspect",)), (2, ("run", "chain.yaml"))):
        printed = reco_command(*words, "a.h5", "--set", "detector=generic")[place]
        assert (note in printed) is told
        assert "MeV per cm" not in printed


def test_scattered_points_are_no_sparse_readout(reco_command):
    """A hit with three around it, and the next such group far away."""
    rng = np.random.default_rng(1)
    groups = rng.uniform(-100, 100, (50, 1, 3)) + rng.normal(0, 0.2, (50, 4, 3))
    with h5py.File("a.h5", "w") as file:
        for name, values in zip("xyz", groups.reshape(-1, 3).T, strict=True):
            file[f"hits/{name}"] = values
        file["hits/energy"], file["hits/event"] = np.full(200, 0.5), np.zeros(200)
    assert "cm apart" not in reco_command("inspect", "a.h5")[1]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("larcv2/pixlarevd_multi_particle.root", True),
        ("larcv3/larcv3_3d_derived.h5", True),
        ("spine/spine_v2.h5", True),
        ("edepsim/samfogarty_ten-Mu-plus.root", False),
        ("larndsim/ynashed_edepsim-output.h5", False),
        ("ndlar_flow/h5flow_layout.h5", False),
        ("misc/jaxtpc_muon.h5", False),
    ],
)
def test_spacing_in_real_files(reco_command, realdata, name, told):
    code, out, _ = reco_command("inspect", realdata / name)
    assert (code, "hits lie 0.99 cm apart" in out, "cm apart" in out) == (0, told, told)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.nan, "notes     a.h5: entry 0: branch 'y' holds nan"),
        (1e30, "notes     100% of the hits lie outside the detector 'generic': check `detector`"),
        (900.0, "notes     100% of the hits lie outside the detector 'generic': check `detector`"),
    ],
)
def test_inspect_tells_of_odd_places(reco_command, y, told):
    with h5py.File("a.h5", "w") as file:
        for name in ("x", "y", "z", "energy", "event"):
            file[f"hits/{name}"] = [y] if name == "y" else [1.0]
    code, out, _ = reco_command("inspect", "a.h5")
    assert (code, told in out) == (0, True)


def test_an_input_that_went_away_after_its_run_is_no_error():
    assert _odd(pipeline(), Path("gone.h5"), 0) == []


@pytest.mark.parametrize("name", ["larndsim/jax_input_0.h5", "edepsim/samfogarty_ten-Mu-plus.root"])
def test_inspect_real_files(reco_command, realdata, name):
    code, out, _ = reco_command("inspect", realdata / name)
    assert code == 0
    assert "TruthParticles" in out


def test_version_and_help(reco_command):
    assert reco_command("--version")[1] == f"reco {reco.__version__}\n"
    out = reco_command("--help")[1]
    for command in ("run", "inspect", "simulate", "train", "evaluate"):
        assert f"  {command} " in out


def test_light_commands_load_no_torch(tmp_path):
    path = hits_file(tmp_path / "a.h5", [1.0])
    code = (
        "import sys\nfrom reco.cli.app import app\n"
        "for words in (['--help'], ['inspect', sys.argv[1]]):\n"
        "    app(words, standalone_mode=False)\n"
        "print(sorted({'torch', 'reco.pipeline'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_outputs_of_inputs(tmp_path):
    def request(*inputs: str, output: Path | None = None) -> Request:
        return Request(inputs, None, output, None, 0, None, False)

    names = [str(tmp_path / name / "a.root") for name in "xy"]
    for name in names:
        Path(name).parent.mkdir()
        Path(name).touch()
    assert outputs_of(request(names[0])) == [(Path(names[0]), Path("a_reco.h5"))]
    folder = [(Path(names[0]), tmp_path / "a_reco.h5")]
    assert outputs_of(request(names[0], output=tmp_path)) == folder
    with pytest.raises(RecoError, match=" and ".join(map(re.escape, names)) + " would both be"):
        outputs_of(request(*names, output=tmp_path))
    with pytest.raises(FormatError, match="no such file"):
        outputs_of(request("none*.root"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("reco ins", ["inspect"]),
        ("reco run lart", ["lartpc"]),
        ("reco run lartpc a.h5 --until pa", ["particles"]),
        ("reco train lartpc seg", ["segment"]),
        ("reco simulate --detector protodune-", ["protodune-hd", "protodune-sp", "protodune-vd"]),
        ("reco evaluate --js", ["--json"]),
    ],
)
def test_completion_knows_commands_options_stages_and_names(reco_command, monkeypatch, line, found):
    monkeypatch.setenv("_RECO_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert reco_command()[1].split() == found


SHELLS = {
    "bash": 'eval "$(_RECO_COMPLETE=source_bash reco)"; COMP_WORDS=(reco ins) COMP_CWORD=1; '
    "_reco_completion reco; echo ${COMPREPLY[@]}",
    # the functions of zsh that ask for a terminal say what they are given
    "zsh": 'compdef() {}; _arguments() { print -r -- "$@" }; '
    'eval "$(_RECO_COMPLETE=source_zsh reco)"; words=(reco ins) CURRENT=2; _reco_completion',
    "fish": '_RECO_COMPLETE=source_fish reco | source; complete -C "reco ins"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_completes(shell):
    program, here = shutil.which(shell), Path(sys.executable).parent
    if program is None or not (here / "reco").is_file():
        pytest.skip(f"no {shell}, or reco is not installed")
    environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    plain = {"zsh": "-f", "fish": "--no-config", "bash": "--norc"}[shell]
    ran = subprocess.run(
        [program, plain, "-c", SHELLS[shell]],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert "inspect" in ran.stdout, ran
    assert "simulate" not in ran.stdout


def test_every_command_has_examples_that_are_understood():
    from typer.main import get_command

    commands = dict(get_command(app).commands)
    weights = commands.pop("weights")
    groups = {"": commands, "weights ": weights.commands}
    for group, command in [(g, c) for g, found in groups.items() for c in found.values()]:
        assert command.help
        examples = re.findall(rf"^  reco {group}(.*)$", command.epilog or "", re.MULTILINE)
        assert examples, command.name
        for name, *words in map(shlex.split, examples):
            assert name == command.name
            assert command.make_context(name, words), words
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{command.name} {parameter.name}"


def test_the_report_is_written_as_json(reco_command, realdata, tmp_path):
    """Voxels and truth alone: most sections have nothing to say, and say so."""
    stages = "{voxelize: {}, truth_voxels: {}, labels: {}, 'tests.stages_for_tests:Classify': {}}"
    Path("truth.yaml").write_text(f"stages: {stages}")
    source = realdata / "larndsim" / "jax_input_0.h5"
    code, _, err = reco_command("run", "truth.yaml", source, "-o", "b.h5", "--stop", 4)
    assert (code, "4/4" in err) == (0, True)
    words = ("evaluate", "b.h5", "--json", "b.json", "--report", "page", "--no-baselines")
    code, out, _ = reco_command(*words)
    assert code == 0
    assert "4 events" in out
    assert "classes, macro-F1" in out
    assert len(out.splitlines()) < 45
    everything = reco_command("evaluate", "b.h5", "--no-baselines", "--all")[1]
    assert "confusion" in everything.lower() or "rows: truth" in everything
    assert json.loads(Path("b.json").read_text())["events"] == 4
    assert Path("page/figures.json").read_text() == Path("b.json").read_text()
    assert "Evaluation of 4 events" in Path("page/index.html").read_text()


def test_a_file_that_cannot_be_read_does_not_stop_the_others(reco_command):
    hits_file(Path("b.h5"), [1.0])
    Path("a.h5").write_text("hello")
    code, _, err = reco_command("run", "chain.yaml", "[ab].h5", "-o", "out")
    assert code == 3
    assert "a.h5: neither ROOT nor HDF5" in err
    assert [p.name for p in Path("out").iterdir()] == ["b_reco.h5"]


def test_an_output_is_hdf5_and_named_so(reco_command):
    hits_file(Path("a.h5"), [1.0])
    code, _, err = reco_command("run", "chain.yaml", "a.h5", "-o", "out.root")
    assert (code, "reco convert" in err) == (1, True)


def test_a_bar_on_a_terminal(reco_command):
    """What a pipe never shows: rich draws the first frame before anything is known."""
    hits_file(Path("a.h5"), [1.0])
    master, slave = os.openpty()
    words = [sys.executable, "-m", "reco.cli", "run", "chain.yaml", "a.h5"]
    where = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=slave, env=where) as process:
        os.close(slave)
        shown = b""
        # at the end of the other side Linux answers with an error
        with contextlib.suppress(OSError):
            while part := os.read(master, 65536):
                shown += part
    os.close(master)
    assert process.returncode == 0, shown.decode()
    assert b"events/s" in shown
    assert Path("a_reco.h5").exists()


def test_help_names_every_recipe(reco_command):
    _, out, _ = reco_command("simulate", "--help")
    assert all(name in out for name in RECIPES)
