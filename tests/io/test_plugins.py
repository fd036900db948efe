"""Readers of other packages: the example of the documentation, and plug-ins that are broken."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reco.data.products import Header
from reco.errors import FormatError, RecoError
from reco.io.recognise import open_input
from tests.io.files import hits, product

DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a module and the metadata of an installed package where Python looks for them."""

    def add(module: str, source: str) -> None:
        site = tmp_path / f"site_{module}"
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[reco.readers]\n{module}_format = {module}:plugin\n"
        )
        monkeypatch.syspath_prepend(site)

    return add


def example() -> str:
    """The module that the documentation shows."""
    (found,) = re.findall(r"```python\n(# ascii_hits\.py.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(found)


def test_the_example_of_the_documentation(install: Install, tmp_path: Path) -> None:
    install("ascii_hits", example())
    path = tmp_path / "hits.txt"
    path.write_text("#ASCIIHITS\n7 1 2 3 0.5\n7 4 5 6 1.5\n9 0 0 0 2\n")
    with open_input(path) as reader:
        assert reader.describe().format == "ASCII hits"
        assert len(reader) == 2
        products = reader.read(0, 2)
    assert product(products, Header).event.tolist() == [7, 9]
    assert hits(products).value[0].tolist() == [0.5, 1.5]
    assert hits(products).position[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    path.write_text("#ASCIIHITS\n7 1 2 nan 0.5\n")
    with open_input(path) as reader, pytest.raises(FormatError, match="entry 0: branch 'z'"):
        reader.read(0, 1)


def test_other_files_are_not_touched(install: Install, tmp_path: Path) -> None:
    install("ascii_hits", example())
    (tmp_path / "a.txt").write_text("x y z")
    with pytest.raises(FormatError, match=r"neither ROOT nor HDF5.*ascii_hits_format"):
        open_input(tmp_path / "a.txt")


HEAD = "from reco.io.plugins import Plugin\n"
BROKEN = {
    "raises_on_import": ("raise RuntimeError('no licence')", "cannot be loaded .*no licence"),
    "lacks_the_name": ("other = 3", "cannot be loaded .*plugin"),
    "is_no_plugin": ("plugin = 3", "is a int, not a reco"),
    "breaks_when_asked": (
        f"{HEAD}plugin = Plugin(lambda path, head: 1 / 0, None)",
        "broke on .*ZeroDivisionError",
    ),
    "breaks_on_opening": (
        f"{HEAD}plugin = Plugin(lambda path, head: True, lambda path, branches: [][1])",
        "cannot open .*IndexError",
    ),
    "gives_no_reader": (
        f"{HEAD}plugin = Plugin(lambda path, head: True, lambda path, branches: 'x')",
        "gave a str without describe, read, close",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_named(install: Install, tmp_path: Path, name: str) -> None:
    source, what = BROKEN[name]
    install(name, source)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(RecoError, match=f"'{name}_format' of {name} .*{what}"):
        open_input(tmp_path / "a.txt")


def test_its_own_refusal_stands(install: Install, tmp_path: Path) -> None:
    source = (
        f"{HEAD}from reco.errors import FormatError\n"
        "def refuse(path, branches):\n    raise FormatError(f'{path}: too old')\n"
        "plugin = Plugin(lambda path, head: True, refuse)"
    )
    install("refuses", source)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FormatError, match=r"a\.txt: too old"):
        open_input(tmp_path / "a.txt")
