"""Every import points down the house: cli, pipeline, stages, nn, sparse and ops, data."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "reco"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "suggest": set(),
    "digest": set(),
    "data": {"errors", "ops"},
    "schema": {"errors", "suggest"},
    "detector": {"data", "digest", "errors", "schema", "suggest"},
    "io": {"data", "errors", "suggest"},
    "ops": {"data", "errors"},
    "sparse": {"data", "errors", "ops"},
    "nn": {"data", "errors", "ops", "sparse"},
    "stages": {"data", "detector", "digest", "errors", "nn", "ops", "sparse", "suggest"},
    "event": {"data", "display", "errors", "io", "suggest"},
    "output": {"data", "display", "errors", "event", "io", "suggest"},
    "convert": {"data", "errors", "io", "suggest"},
    "config": {"errors", "io", "schema", "stages", "suggest"},
    "pipeline": {
        "config", "data", "detector", "errors", "event", "io", "schema", "stages",
        "suggest", "reco",
    },
    "simulate": {"data", "detector", "errors", "io", "ops"},
    "metrics": {"data", "detector", "errors", "ops"},
    "train": {
        "config", "data", "detector", "digest", "errors", "io", "metrics", "nn", "ops",
        "pipeline", "sparse", "stages",
    },
    "batch": {
        "config", "data", "detector", "digest", "errors", "io", "pipeline", "reco", "schema",
        "stages", "suggest",
    },
    "display": {"data", "errors"},
    "report": {"data", "display", "errors", "metrics"},
    "cli": {
        "batch", "config", "convert", "data", "detector", "digest", "display", "errors", "io",
        "metrics", "nn", "ops", "output", "pipeline", "reco", "report", "schema", "simulate",
        "sparse", "stages", "suggest", "train",
    },
}  # fmt: skip
"""Room -> the rooms it may import; `reco` is the package itself (its version)."""

FOREIGN = {"torch"}
"""Heavy packages that the rooms below must not load: they would slow `reco inspect` down."""
LIGHT = ("data", "io", "errors", "suggest", "digest", "detector", "output", "config", "schema")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Modules that a file imports, anywhere but under TYPE_CHECKING."""
    found = []
    for node in _run_time(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            plain = node.module == "reco"
            found += [f"reco.{a.name}" if plain else str(node.module) for a in node.names]
    return found


def _run_time(tree: ast.AST) -> list[ast.AST]:
    nodes = [tree]
    for node in ast.iter_child_nodes(tree):
        hidden = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not hidden:
            nodes += _run_time(node)
    return nodes


FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room}: a new room; say here what it may import"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "reco":
            target = parts[1] if len(parts) > 1 else "reco"
            assert target == room or target in MAY_IMPORT[room], f"{path} imports {module}"
        assert not (room in LIGHT and parts[0] in FOREIGN), f"{path} imports {module}"


def test_there_is_no_way_up():
    """The table itself has no cycle, but for data and ops: labels are made by kernels."""
    order: list[str] = []

    def visit(room: str, above: tuple[str, ...]) -> None:
        assert room not in above, f"cycle: {above} {room}"
        if room in order or room == "reco":
            return
        for below in MAY_IMPORT[room] - ({"ops"} if room == "data" else set()):
            visit(below, (*above, room))
        order.append(room)

    for room in MAY_IMPORT:
        visit(room, ())
    assert set(order) == set(MAY_IMPORT)
