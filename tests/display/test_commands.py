"""`reco view` and `reco doctor` as they are typed."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from reco.cli import main
from reco.cli.doctor import Finding, can_write, required, shipped_weights


@pytest.fixture
def reco_command(monkeypatch, capsys, tmp_path):
    """Run the command line here: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["reco", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(left.value.code or 0), out, err

    return run


def test_view_writes_a_page(reco_command, output):
    pytest.importorskip("plotly")
    code, out, _ = reco_command("view", output, "--event", 1)
    assert (code, out) == (0, "written to out_event1.html\n")
    assert "event 7" in Path("out_event1.html").read_text()
    code, _, err = reco_command("view", output, "--event", 1)
    assert code == 1
    assert "exists; add --overwrite" in err
    assert reco_command("view", output, "--event", 1, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("OUT --event 3 -o a.html", "no event 3; the file has 3 (0 to 2)"),
        ("none.h5", "none.h5: no such file"),
        ("OUT -o none/a.html", "cannot be written"),
        ("OUT --browse --event 9", "no event 9"),
        ("OUT --browse --port 1", "port 1 cannot be used"),
    ],
)
def test_mistakes_end_with_one_message(reco_command, output, words, message):
    pytest.importorskip("plotly")
    if "--port 1" in words and os.geteuid() == 0:
        pytest.skip("root may use every port")
    code, _, err = reco_command("view", *words.replace("OUT", str(output)).split())
    assert code == 1
    assert message in err
    assert list(Path().iterdir()) == []


def test_browse_serves_until_it_is_told_to_end(output):
    pytest.importorskip("plotly")
    words = [sys.executable, "-m", "reco.cli", "view", str(output), "--browse", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert line.startswith("3 events at http://127.0.0.1:")
    assert "/event/0 " in line
    assert (rest, process.returncode) == ("ended\n", 0)


def test_doctor_says_what_there_is(reco_command):
    code, out, _ = reco_command("doctor")
    lines = out.splitlines()
    assert code == int(any(line.startswith("!!") for line in lines))
    subjects = {line[4:18].strip() for line in lines if line[:2] in ("ok", "--", "!!")}
    assert {
        "python",
        "torch",
        "GPU",
        "numba cache",
        "Geant4",
        "detectors",
        "extra view",
    } <= subjects
    assert next(line for line in lines if "detectors" in line).startswith("ok")
    assert "generic" in out


def test_a_finding_says_how_to_mend_it():
    assert str(Finding("GPU", "none")).startswith("ok  GPU")
    optional = Finding("extra sim", "not installed: x", "pip install 'lartpc-reco[sim]'")
    assert str(optional).startswith("--  extra sim")
    assert str(optional).endswith("pip install 'lartpc-reco[sim]'")
    assert str(Finding("weights", "none", "train", True)).startswith("!!")


def test_requirements_by_extra():
    lines = [
        "torch<2.14,>=2.6",
        "torch-geometric>=2.5",
        'plotly>=5.20; extra == "view"',
        "types-PyYAML ; extra == 'test'",
        'lartpc-reco[sim,train,view]; extra == "test"',
    ]
    assert required(lines) == {
        "": ["torch", "torch-geometric"],
        "view": ["plotly"],
        "test": ["types-PyYAML"],
    }


def test_weights_are_told_by_stage_and_checksum(tmp_path):
    good, bad = tmp_path / "segment.safetensors", tmp_path / "zzz.safetensors"
    save_file({"a": np.zeros(2, np.float32)}, good, {"stage": "segment"})
    bad.write_bytes(b"not weights")
    first, second = shipped_weights(tmp_path)
    assert (
        first.what
        == f"segment: stage segment, sha256 {hashlib.sha256(good.read_bytes()).hexdigest()}"
    )
    assert not first.broken
    assert second.broken
    assert str(bad) in second.what


def test_whether_a_folder_can_be_written(tmp_path):
    assert can_write(tmp_path)
    assert can_write(tmp_path / "not" / "there" / "yet")
    (tmp_path / "file").touch()
    assert not can_write(tmp_path / "file" / "below")
