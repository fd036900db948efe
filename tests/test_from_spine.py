"""The page for users of SPINE: all of theirs is there, all of ours exists, the code runs."""

import re
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest

from reco.io.store import PRODUCTS
from tests.test_convert import write_native

PAGE = (Path(__file__).parents[1] / "docs" / "from_spine.md").read_text()
SECTIONS = dict(re.findall(r"\n## (\w+).*?\n(.*?)(?=\n## )", PAGE, re.DOTALL))


def cells(section: str, column: int) -> set[str]:
    """What stands in backticks in a column of the tables of a section."""
    rows = [line.split("|") for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row[column])}


@pytest.mark.parametrize(
    ("section", "product"),
    [("Particles", "reco_particles"), ("Interactions", "reco_interactions")],
)
def test_every_attribute_is_answered(realdata: Path, section: str, product: str) -> None:
    with h5py.File(realdata / "spine/spine_v1.h5") as file:
        attributes = set(file[product].dtype.names)
    assert cells(section, 1) == attributes


@pytest.mark.parametrize("section", ["Particles", "Interactions"])
def test_every_column_exists(section: str) -> None:
    ours = {
        f"{spec.table}.{part}"
        for kind in PRODUCTS
        for spec in kind.columns().values()
        for part in spec.parts
        if not spec.internal
    }
    named = {word for word in cells(section, 2) if "." in word and "=" not in word}
    assert named
    assert named <= ours


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_native(tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5", "a") as file:
        file["particles/pid"][:] %= 6
        file["particles/energy"][:] = np.arange(len(file["particles/energy"])) + 10
        file["particles/interaction"][:] = 0
        file["interactions/id"][:] = 0
        for axis, along in zip("xyz", (0.6, 0, 0.8), strict=True):
            file[f"particles/direction_{axis}"][:] = along
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(code) == 2
    names: dict[str, object] = {}
    for block in code:
        exec(block, names)
    particles = names["f"].particles  # type: ignore[attr-defined]
    kinetic, p, mass = (
        np.asarray(ak.flatten(column), float)
        for column in (particles.energy, names["p"], names["mass"])
    )
    np.testing.assert_allclose(np.hypot(p, mass) - mass, kinetic, rtol=1e-4)
    assert names["particle_ids"].tolist() == particles.id[3].tolist()  # type: ignore[attr-defined]
    assert len(names["counts"]) == 6  # type: ignore[arg-type]
