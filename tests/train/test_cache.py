"""What is made once is made again when anything that it depends on has changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from reco.data.products import Hits
from reco.data.ragged import Ragged
from reco.detector import SHARED
from reco.errors import ConfigError
from reco.io.store import Writer
from reco.train import cache
from reco.train.backbone import NEEDS
from reco.train.cache import ABOVE, Cache, code_hash

from ..stages.grid_maps import write_map
from ..test_layers import MAY_IMPORT
from .test_run import pipeline, products, write


@pytest.fixture
def package(tmp_path) -> Path:
    for name in ("__init__.py", "stages/a.py", "nn/b.py", "train/c.py"):
        path = tmp_path / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    return tmp_path / "one"


def changed(package: Path, name: str, text: str = "x = 2\n") -> Path:
    """Another package with this file."""
    other = package.with_name(name.replace("/", "-"))
    shutil.copytree(package, other)
    (other / name).write_text(text)
    return other


def test_any_module_below_the_pipeline_counts(package):
    same = code_hash(package)
    assert code_hash(changed(package, "train/c.py")) == same
    for name in ("__init__.py", "stages/a.py", "nn/b.py", "new/d.py"):
        (package / name).parent.mkdir(exist_ok=True)
        assert code_hash(changed(package, name)) != same
    moved = changed(package, "stages/b.py", "x = 1\n")
    (moved / "nn/b.py").unlink()
    assert code_hash(moved) != same


def test_the_pipeline_imports_nothing_that_does_not_count():
    rooms, waiting = set(), ["pipeline"]
    while waiting:
        room = waiting.pop()
        rooms.add(room)
        waiting += MAY_IMPORT.get(room, set()) - rooms
    assert not rooms & ABOVE


def test_products_of_other_code_are_made_again(package, tmp_path, monkeypatch):
    file = write(tmp_path / "a.h5", range(1))
    made = Cache(pipeline(), "segment", NEEDS, tmp_path / "cache")
    files = []
    for code in (cache.PACKAGE, package, changed(package, "nn/b.py")):
        monkeypatch.setattr(cache, "PACKAGE", code)
        files += [made.make(file), made.make(file)]
    assert len(set(files)) == 3
    assert files[0::2] == files[1::2]


def test_products_with_another_map_are_made_again(tmp_path):
    file = write(tmp_path / "a.h5", range(1))
    detector = yaml.safe_load((SHARED / "generic.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**detector, "displacement": "map.h5"}))
    made = Cache(pipeline(detector=str(path)), "segment", NEEDS, tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"map\.h5: no such file"):
        made.make(file)
    grid, files = np.array([-120.0, 120.0]), []
    for shift in (0.0, 0.5):
        write_map(tmp_path / "map.h5", grid, shift=np.full((2, 2, 2, 3), shift))
        files.append(made.make(file))
    assert files[0] != files[1]


def test_products_that_a_run_has_stored_are_used_where_they_are(tmp_path):
    write(tmp_path / "a.h5", range(3))
    empty = products(7)
    nothing = (Ragged.one(np.zeros(shape)) for shape in ((0, 3), 0, 0))
    empty[1] = Hits(*nothing, np.zeros(1))
    with Writer(tmp_path / "b.h5", {}) as out:
        for event in (products(0), empty, products(2)):
            out.write(event)
    made = Cache(pipeline(), "segment", NEEDS, tmp_path / "cache")
    for name, good in (("a", 3), ("b", 2)):
        stored = tmp_path / f"up_{name}.h5"
        pipeline().process(tmp_path / f"{name}.h5", stored, until="labels")
        assert made.make(stored) == stored
        events, wanted = list(made.events(stored)), list(made.events(tmp_path / f"{name}.h5"))
        assert len(events) == len(wanted) == good
        for one, other in zip(events, wanted, strict=True):
            for kind in NEEDS:
                for field, value in vars(one[kind]).items():
                    same = getattr(other[kind], field)
                    np.testing.assert_array_equal(
                        getattr(value, "values", value), getattr(same, "values", same)
                    )
    assert len(list((tmp_path / "cache").iterdir())) == 2
