"""A scene as one HTML page that needs nothing else: no network, no server."""

import base64
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from reco.data.ragged import Array
from reco.display.scene import Scene, Side
from reco.display.shapes import arrows, ellipsoids
from reco.errors import RecoError

SCRIPTS = ("page.data.js", "page.plot.js", "page.words.js", "page.switches.js")
"""Parts of one script, in this order."""
ARROW = 8.0
"""Length at which a particle's direction is drawn, cm."""


@dataclass(frozen=True)
class Place:
    """Where a page stands among those of a file: event `number` of `count`."""

    number: int
    count: int


@dataclass(frozen=True)
class Page:
    """An HTML page; in a notebook it shows itself."""

    html: str = field(repr=False)

    def write(self, path: Path) -> None:
        """Under a temporary name, then renamed. Raises RecoError where it cannot be written."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            temporary.write_text(self.html, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise RecoError(f"{path}: cannot be written ({error.strerror})") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _repr_html_(self) -> str:
        style = "width:100%;height:640px;border:0"
        return f'<iframe srcdoc="{escape(self.html)}" style="{style}"></iframe>'


def page_of(scene: Scene, name: str) -> Page:
    """A page that holds everything, plotly included. name: of the file, or what to call it.

    Raises RecoError where plotly is not installed.
    """
    return _page(scene, name, f"<script>{plotly_js()}</script>", None)


def page_at(scene: Scene, name: str, place: Place, plotly_url: str) -> Page:
    """A page among others of a server, which also serves plotly.js under plotly_url."""
    return _page(scene, name, f'<script src="{escape(plotly_url)}"></script>', place)


@cache
def plotly_js() -> str:
    """The code of plotly.js that comes with the Python package. Raises RecoError without it."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise RecoError(
            "plotly is not installed; to see events: pip install 'lartpc-reco[view]'"
        ) from None
    return str(get_plotlyjs())


def _page(scene: Scene, name: str, plotly: str, place: Place | None) -> Page:
    parts = {
        "title": escape(f"{scene.title} — {name}"),
        "style": _part("page.css"),
        "plotly": plotly,
        "data": _json({"name": name, "scene": _content(scene), "place": place}),
        "code": "".join(map(_part, SCRIPTS)),
    }
    html = _part("page.html")
    for key, text in parts.items():
        before, _, after = html.partition(f"<!-- {key} -->")
        html = f"{before}{text}{after}"
    return Page(html)


def _part(name: str) -> str:
    return (files("reco.display") / name).read_text(encoding="utf-8")


def _content(scene: Scene) -> dict[str, Any]:
    truth = scene.truth and _with_lines(scene.truth)
    return _shallow(scene) | {
        "reconstruction": _with_lines(scene.reconstruction),
        "truth": truth,
    }


def _with_lines(side: Side) -> dict[str, Any]:
    """What is drawn as lines is computed here, so that the page has nothing to compute."""
    return _shallow(side) | {
        "arrows": arrows(side.starts.position, side.starts.direction, ARROW),
        "rings": ellipsoids(side.vertices.position, side.vertices.covariance),
    }


def _shallow(data: Any) -> dict[str, Any]:
    return {field.name: getattr(data, field.name) for field in fields(data)}


def _json(content: object) -> str:
    text = json.dumps(_encoded(content), ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # or a name could end the script


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _packed(value)
    if is_dataclass(value):
        value = _shallow(value)
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    return value


def _packed(values: Array) -> dict[str, str]:
    """An array, flat, as base64 of its bytes; JavaScript knows its type by name."""
    if values.dtype.kind == "f":
        values = values.astype("<f4")
    else:
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        wide = max(-low - 1, high)
        values = values.astype("i1" if wide < 1 << 7 else "<i2" if wide < 1 << 15 else "<i4")
    names = {"f4": "Float32Array", "i1": "Int8Array", "i2": "Int16Array", "i4": "Int32Array"}
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
    return {"type": names[values.dtype.str[1:]], "data": data}
