"""Pages of the site that are made from the code and from files at the root; a hook of mkdocs."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import TypeAdapter

from reco.config import PipelineConfig
from reco.data.product import Product, column_of
from reco.detector import AXES, Detector, DetectorSchema, names
from reco.stages import STAGES, find
from reco.stages.base import Stage
from reco.stages.learned import LearnedStage
from reco.train.loop import Schedule

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"^\*Made from the code, with the site: .*?\*$", re.DOTALL | re.MULTILINE)
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in docs/ holds."""
    pages = {
        "index.md": _moved("README.md"),
        "contributing.md": _moved("CONTRIBUTING.md"),
        "changelog.md": _moved("CHANGELOG.md"),
    }
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = _notebook(path)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put what is made where a page has a place for it, and links to where pages are moved."""
    markdown = markdown.replace("](../CONTRIBUTING.md", "](contributing.md")
    made = {"detectors.md": detectors, "configuration.md": configuration, "stages.md": stages}
    make = made.get(page.file.src_uri)
    return PLACE.sub(lambda _: make(), markdown) if make else markdown


def detectors() -> str:
    """The shipped detectors, each in a row."""
    head = ("name", "volumes", "drift", "voxel [cm]", "field [kV/cm]", "lifetime [ms]", "law")
    rows = []
    for detector in map(Detector.load, names()):
        first = detector.volumes[0]
        values = (detector.voxel_size, detector.field, detector.lifetime / 1000)
        drift = f"{first.drift_length:.0f} cm along {AXES[first.drift_axis]}"
        row = (f"`{detector.name}`", str(len(detector.volumes)), drift, *map("{:g}".format, values))
        rows.append((*row, detector.recombination.model))
    return _table(head, rows)


def _moved(name: str) -> str:
    """A file of the root, its links as seen from docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace("](CONTRIBUTING.md)", "](contributing.md)")


def _notebook(path: Path) -> str:
    """Text and code of a notebook; tests run it, so it is stored without what it prints."""
    parts = [f'[`{path.name}`]({path.name}), to be run in Jupyter: `pip install ".[notebook]"`.']
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, rest = parts[1].partition("\n")[::2]
    return "\n\n".join([title, parts[0], rest, *parts[2:]])


def configuration() -> str:
    """Every key of every file that a user writes, from the schemas that check them."""
    return "\n\n".join(
        [
            *_section("The pipeline file", PipelineConfig, ""),
            "The options of each stage are in [Stages](stages.md).",
            *_section("The detector file", DetectorSchema, ""),
            *_section("The schedule of `reco train`", Schedule, ""),
        ]
    )


def stages() -> str:
    """What every stage takes, gives and can be told."""
    parts = [
        "Columns marked * are written only with `output: {internal: true}` or `--until`.",
    ]
    for name in STAGES:
        parts += _stage(find(name))
    return "\n\n".join(parts)


def _stage(stage: type[Stage]) -> Iterator[str]:
    contract = inspect.signature(stage.__call__)
    takes = [p.annotation for p in contract.parameters.values() if p.name != "self"]
    gives = contract.return_annotation
    module = inspect.getmodule(stage)
    yield f"## {stage.name}"
    said = _lines(module.__doc__)
    does = said.partition(": ")[2] or said
    yield does[:1].upper() + does[1:]
    yield _lines(stage.__doc__)
    yield "Takes " + ", ".join(f"`{p.__name__}`" for p in takes) + f"; gives `{gives.__name__}`:"
    yield _columns(gives)
    yield from _options(stage.Options, "Options")
    if issubclass(stage, LearnedStage):
        yield from _options(stage.Model, "Sizes of the network, under `model`, for a fresh one")


def _columns(product: type[Product]) -> str:
    rows = []
    for field in fields(product):
        spec = column_of(field)
        names = ", ".join(f"`{part}`" for part in spec.parts) + ("*" if spec.internal else "")
        rows.append((f"`{spec.table}`", names, spec.unit, spec.doc))
    return _table(("table", "columns", "unit", ""), rows)


def _options(model: type, title: str) -> Iterator[str]:
    schema = TypeAdapter(model).json_schema()
    if schema.get("properties"):
        yield f"{title}:"
        yield from _keys(schema)


def _section(title: str, model: Any, path: str) -> Iterator[str]:
    """A schema and, below it, those of its keys that hold keys of their own."""
    schema = TypeAdapter(model).json_schema()
    for name, part in {title: schema, **schema.get("$defs", {})}.items():
        yield f"## {name}" if part is schema else f"### {_where(schema, name)}"
        yield from _keys(part)


def _where(schema: dict[str, Any], name: str) -> str:
    """The key under which a schema of $defs is used."""
    used = (k for k, v in schema["properties"].items() if f"$defs/{name}'" in repr(v))
    return f"`{next(used, name)}:`"


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    """What a schema says of itself, and a table of its keys with what it says of each."""
    about, of_key = _said(_lines(schema.get("description", "")), list(schema["properties"]))
    rows = []
    for key, part in schema["properties"].items():
        needed = key in schema.get("required", ())
        default = "needed" if needed else f"`{_yaml(part.get('default'))}`"
        doc = " ".join((part.get("description") or of_key.get(key, "")).split())
        rows.append((f"`{key}`", _values(part), default, doc))
    if about:
        yield about
    yield _table(("key", "value", "default", ""), rows)


def _said(text: str, keys: list[str]) -> tuple[str, dict[str, str]]:
    """`About. a: this. b, c: that.` -> (`About.`, {a: this, b: that, c: that})."""
    key = "|".join(map(re.escape, keys))
    about, *parts = re.split(rf"(?:^|(?<=[.;)])\s+)((?:{key})(?:, (?:{key}))*): ", text)
    groups = zip(parts[::2], parts[1::2], strict=True)
    return about, {name: doc.rstrip(".") for names, doc in groups for name in names.split(", ")}


def _values(part: dict[str, Any]) -> str:
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "anyOf" in part:
        return " or ".join(_values(option) for option in part["anyOf"])
    kind = {"null": "`null`", "integer": "whole number", "array": "list", "object": "keys"}.get(
        part.get("type", "object"), part.get("type", "")
    )
    limits = [f"{sign} {part[key]:g}" for key, sign in LIMITS.items() if key in part]
    return " ".join([kind, ", ".join(limits)]).strip()


def _yaml(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    return "{}" if isinstance(value, dict) else str(value)


def _lines(text: str | None) -> str:
    """A docstring as one paragraph per paragraph."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(re.sub(r"\s+", " ", p) for p in paragraphs)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in cells)
