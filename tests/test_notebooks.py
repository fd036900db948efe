"""The notebooks of the documentation run from the first cell to the last."""

import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
client = pytest.importorskip("nbclient")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of their folder, to write in; a file that one made serves the next."""
    top = tmp_path_factory.mktemp("checkout")
    (top / "data_samples").symlink_to(ROOT / "data_samples")
    (top / "docs" / "notebooks").mkdir(parents=True)
    for path in NOTEBOOKS:
        shutil.copy(path, top / "docs" / "notebooks")
    return top / "docs" / "notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, folder):
    notebook = nbformat.read(folder / path.name, 4)
    where = {"metadata": {"path": str(folder)}}
    client.NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert pictures


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path):
    for cell in nbformat.read(path, 4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
