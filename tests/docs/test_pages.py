"""Every command and example of the pages: the cheap ones run, the others are understood."""

import re
import runpy
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.main import get_command

import reco
from reco.cli import main
from reco.cli.app import app
from reco.data.bundle import Bundle
from reco.data.products import Hits
from reco.io.branches import Branches
from reco.io.recognise import open_input
from reco.io.root_writer import RootWriter
from tests.docs.pages import PAGES, ROOT, blocks, commands, files, mentions
from tests.io.files import write_tree

WRITE = {"run", "view", "convert"}
CHEAP = WRITE | {"inspect", "evaluate"}
COMMANDS = get_command(app)
EXAMPLES = ["README.md", "docs/display.md", "docs/detectors.md", "docs/from_spine.md"]
"""Pages whose python runs after the commands of the README."""


@pytest.fixture(scope="module")
def sample() -> Bundle:
    """The four smallest events of the sample that ships."""
    with open_input(ROOT / "data_samples" / "lartpc.root") as reader:
        events = Bundle(reader.read(0, len(reader)))
    smallest = np.argsort(events[Hits].value.counts)[:4]
    return Bundle.concat([events.at(i) for i in smallest])


@pytest.fixture(scope="module")
def folder(sample, tmp_path_factory) -> Path:
    """A checkout as a reader has it, after the commands of the README."""
    place = tmp_path_factory.mktemp("reader")
    (place / "data_samples").mkdir()
    (place / "pipelines").symlink_to(ROOT / "pipelines")
    with RootWriter(place / "data_samples" / "lartpc.root", {}) as out:
        out.write(sample)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for words in commands(ROOT / "README.md"):
            type_in(words, patch)
    return place


def type_in(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """Run a command, if it is one of this package, cheap, and ends by itself."""
    if words[0] != "reco" or words[1] not in CHEAP or "--browse" in words:
        return
    again = ["--overwrite"] if words[1] in WRITE else []
    patch.setattr(sys, "argv", [*words, *again])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code, " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_understood(page):
    for words in commands(page):
        if words[0] == "reco" and len(words) > 1 and not words[1].startswith("-"):
            command = COMMANDS.commands[words[1]]
            with command.make_context(words[1], words[2:]):
                pass  # an unknown option, or a word of the wrong kind, has raised
        elif words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), words
        elif words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_option_in_a_sentence_exists(page):
    for text in mentions(page):
        name, *rest = text.split()[1:]
        assert name.startswith("--") or name in COMMANDS.commands, text
        known = {o for p in COMMANDS.commands.get(name, COMMANDS).params for o in p.opts}
        assert {word for word in rest if word.startswith("--")} <= known | {"--help"}, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files_of_the_repository(page):
    """So that they work where no site was built, too."""
    for target in re.findall(r"\]\((?!\w+:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["chain", "display", "detectors", "formats"])
def test_the_commands_of_a_page_run(page, folder, monkeypatch):
    page = enter(folder, page, monkeypatch)
    for words in commands(page):
        type_in(words, monkeypatch)


def enter(folder: Path, page: str, patch: pytest.MonkeyPatch) -> Path:
    """Go where the reader is, with the files that a page shows; the page."""
    path = ROOT / "docs" / f"{page}.md"
    patch.chdir(folder)
    patch.syspath_prepend(folder)
    for name, text in files(path).items():
        Path(name).write_text(text)
    return path


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_python_of_a_page_runs(page, folder, sample, monkeypatch):
    monkeypatch.chdir(folder)
    names = {"position": sample[Hits].position[0], "charge": sample[Hits].value[0]}
    for text in blocks(ROOT / page, "python"):
        exec(text, names)


def test_the_tour_ends_with_a_plot(folder, monkeypatch):
    page = enter(folder, "tour", monkeypatch)
    runpy.run_path("foreign.py")
    for words in commands(page):
        type_in(words, monkeypatch)
    runpy.run_path("plot.py")
    assert Path("muons.png").stat().st_size > 1000


def test_text_comes_in(folder, monkeypatch):
    enter(folder, "formats", monkeypatch)
    Path("hits.csv").write_text("event,x,y,z,energy\n7,1,2,3,0.5\n9,4,5,6,0.25\n9,7,8,9,1\n")
    runpy.run_path("from_text.py")
    with open_input("hits.h5") as reader:
        assert Bundle(reader.read(1, 2))[Hits].value[0].tolist() == [0.25, 1]


def test_an_entry_per_hit_comes_in(folder, monkeypatch):
    enter(folder, "formats", monkeypatch)
    columns = {n: np.arange(4.0) for n in ("x", "y", "z", "energy")} | {
        "evtNo": np.array([3, 3, 4, 4])
    }
    write_tree(Path("entries.root"), columns)
    runpy.run_path("from_entries.py")
    with open_input("entries.h5", Branches(event="evtNo")) as reader:
        assert Bundle(reader.read(0, 2))[Hits].value.counts.tolist() == [2, 2]


def test_a_group_per_event_comes_in(folder, monkeypatch):
    enter(folder, "formats", monkeypatch)
    with h5py.File("groups.h5", "w") as file:
        for number in (0, 2, 10):
            for name in ("x", "y", "z", "energy"):
                file[f"event_{number}/{name}"] = np.full(number + 1, float(number))
    runpy.run_path("from_groups.py")
    with open_input("rows.h5") as reader:
        assert Bundle(reader.read(0, 3))[Hits].value.counts.tolist() == [1, 3, 11]


def test_the_stage_of_the_page_runs(folder, monkeypatch):
    enter(folder, "extending", monkeypatch)
    type_in(["reco", "run", "mine.yaml", "data_samples/lartpc.root", "-o", "mine.h5"], monkeypatch)
    found = reco.open("mine.h5").particles[0]
    assert 0 < max(found.n_neighbours) < len(found)


def test_every_extra_is_on_the_page():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "install.md").read_text()
    for extra in project["optional-dependencies"]:
        assert re.search(rf"^\| .*`{extra}`.* \|", page, re.MULTILINE), extra
