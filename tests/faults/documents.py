"""Pipelines and detectors as YAML that no one should write."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
PIPELINE = (ROOT / "pipelines" / "lartpc.yaml").read_text()
DETECTOR = (ROOT / "detectors" / "generic.yaml").read_text()


def bomb(wide: int, deep: int) -> str:
    """Nine times nine times nine... of next to nothing."""
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * wide)}]" for i in range(1, deep + 1)]
    return "\n".join(["a0: &a0 [x, x]", *lines])


BOMB = bomb(9, 11)
HOSTILE = (
    *("", "\0", "\ufeff", "---\n---", "%YAML 9.9", "- " * 3000, "[" * 3000, "{a: " * 3000, "? a"),
    *(f"run: {{batch_size: {text}}}" for text in ("9" * 5000, "1e999", ".nan", "0x", "-0", "1:30")),
    *(f"run: !!{tag} ''" for tag in ("int", "float", "bool", "timestamp", "binary", "set", "omap")),
    *(
        f"detector: {text}"
        for text in ("x" * 5000, '"\\0"', '"\\ud800"', "/", ".", "..", "/dev/null")
    ),
    *(f"stages: {{'{name}': {{}}}}" for name in (":", ":x", "x:", ".a:b", "json:loads", "a.b:c.d")),
    *(
        "<<: 3",
        "<<: [1, 2]",
        "*a",
        "a: &a [*a]",
        "run: &a {run: *a}",
        "? {a: b}\n: c",
        "? [a]\n: c",
    ),
    *("base: x\nbase: y", "base: /", "base: ''", 'base: "\\0"', "base: [a]", "base: " + "x" * 300),
    *(
        "2001-99-99: 1",
        "name: 2001-99-99",
        "1: 2",
        "null: 1",
        "true: yes",
        "!!python/name:os.system x",
    ),
    *(BOMB, f"{BOMB}\nrun: *a11", f"{BOMB}\nvolumes: *a11", f"{BOMB}\ndetector: *a11"),
    *(f"{BOMB}\nstages: {{segment: *a11}}", f"{BOMB}\nstages: {{segment: {{weights: *a11}}}}"),
)

KEYS = (
    *("detector", "input", "stages", "run", "output", "base", "batch_size", "device", "threads"),
    *(
        "internal",
        "tree",
        "x",
        "charge",
        "length_unit",
        "segment",
        "points",
        "fragments",
        "weights",
    ),
    *("voxelize", "threshold", "min_score", "name", "volumes", "lower", "upper", "drift", "field"),
    *("temperature", "lifetime", "recombination", "model", "alpha", "voxel_size"),
)
WORDS = st.sampled_from([*KEYS, "cpu", "cuda:99", "generic", "box", "-x", "mm", "off", "../../etc"])
NUMBERS = st.integers() | st.floats() | st.integers(10**300, 10**310) | st.sampled_from([0, 1, -1])
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=20) | st.dates()
NAMES = st.sampled_from(KEYS) | st.text(alphabet=st.characters(exclude_characters=":"), max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(NAMES | NUMBERS | st.none(), below, max_size=6)
    ),
    max_leaves=25,
)


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """A good document in which some lines or characters are lost, doubled or replaced."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, draw(st.sampled_from(lines)))
            case 2:
                lines[at] = " " * draw(st.integers(0, 5)) + lines[at].strip()
            case 3:
                key = lines[at].split(":")[0]
                lines[at] = f"{key}: {_dumped(draw(SCALARS))}"
            case _:
                cut = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + draw(st.text(max_size=3)) + lines[at][cut:]
    return "\n".join(lines)


def _dumped(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()


@st.composite
def nested(draw: st.DrawFn) -> str:
    return yaml.safe_dump(draw(st.dictionaries(NAMES, TREES, max_size=6)))


ALIASES = st.builds(bomb, st.integers(0, 9), st.integers(0, 11)).map(
    lambda text: "stages:\n  voxelize:\n    " + text.replace("\n", "\n    ")
)
DOCUMENTS = st.one_of(
    *(changed(PIPELINE), changed(DETECTOR), nested(), ALIASES),
    *(st.sampled_from(HOSTILE), st.text(max_size=60)),
)
