"""What the image holds is pinned by hash, and is what the package asks for."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

PIN = re.compile(r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)
EXTRAS = ("sim", "batch", "remote", "parquet", "train")
"""As in `container/lock`."""


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / "container" / name).read_text()
    found = PIN.findall(text)
    lines = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert len(lines) == len(found), "a line without a hash"
    return {name: Version(version) for name, version, _ in found}


@pytest.mark.parametrize("device", ["cpu.txt", "cuda.txt"])
def test_the_image_holds_what_the_package_asks_for(device: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in EXTRAS]
    pinned = pins("common.txt") | pins(device)
    for wanted in map(Requirement, sum(extras, project["dependencies"])):
        assert pinned[wanted.name] in wanted.specifier, f"{wanted}: run `sh container/lock`"


def test_the_same_torch_with_and_without_cuda() -> None:
    assert pins("cpu.txt")["torch"].public == pins("cuda.txt")["torch"].public
