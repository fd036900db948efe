import base64
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from reco.display.page import Place, page_at, page_of, plotly_js
from reco.display.scene import scene_of
from reco.errors import RecoError
from tests.display import events
from tests.display.events import BOXES, POSITION, N

pytest.importorskip("plotly")
VOID = {"meta", "input", "br", "link", "img"}


class Reader(HTMLParser):
    """Checks that tags are closed in order; keeps attributes and the content of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.attributes, self.scripts = [], [], []
        self.ids: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value) for name, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data


def read(name="out.h5"):
    scene = scene_of([*events.data(), *events.truth(), *events.matches()], BOXES)
    return page_of(scene, name).html


def content(reader: Reader) -> dict:
    return next(json.loads(s) for s in reader.scripts if s.startswith("{"))


def unpacked(packed: dict) -> np.ndarray:
    types = {"Float32Array": "<f4", "Int8Array": "i1", "Int16Array": "<i2", "Int32Array": "<i4"}
    return np.frombuffer(base64.b64decode(packed["data"]), types[packed["type"]])


def test_the_page_is_valid_and_loads_nothing():
    reader = Reader(read())
    loading = {"src", "href", "srcset", "action", "data", "poster"}
    # the links to the previous and next event get their address on a server alone
    assert [a for a in reader.attributes if a[1] in loading] == []
    assert len(reader.ids) == len(set(reader.ids))
    policy = next(v for _, n, v in reader.attributes if n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not re.search(r"@import|url\(", re.search(r"<style>(.*?)</style>", read(), re.S)[1])


def test_arrays_come_back_as_they_were():
    scene = content(Reader(read()))["scene"]
    voxels = scene["reconstruction"]["voxels"]
    np.testing.assert_array_equal(unpacked(voxels["position"]).reshape(-1, 3), POSITION)
    np.testing.assert_array_equal(unpacked(voxels["labels"]["particle"]), events.FOUND)
    assert voxels["labels"]["particle"]["type"] == "Int8Array"
    assert scene["truth"]["particles"]["PDG"][1] == "2212"
    assert unpacked(scene["reconstruction"]["arrows"]).reshape(-1, 3).shape == (9, 3)


@pytest.mark.parametrize(
    ("values", "kind"),
    [([-128, 127], "Int8Array"), ([-1, 128], "Int16Array"), ([-32769, 0], "Int32Array")],
)
def test_integers_are_as_narrow_as_they_may_be(values, kind):
    products = [*events.data(4)]
    fragments = next(p for p in products if type(p).__name__ == "Fragments")
    fragments.voxel_fragment.values[:] = -1
    scene = scene_of(products, BOXES)
    scene.reconstruction.voxels.labels["fragment"][:2] = values
    packed = content(Reader(page_of(scene, "a").html))["scene"]
    ids = packed["reconstruction"]["voxels"]["labels"]["fragment"]
    assert ids["type"] == kind
    assert unpacked(ids)[:2].tolist() == values


def test_names_cannot_become_code():
    name = '</script><script>alert(1)</script>&".h5'
    reader = Reader(read(name))
    assert content(reader)["name"] == name
    assert len(reader.scripts) == 3  # plotly, data, code


def test_a_page_is_as_large_as_its_voxels():
    many = 100_000
    products = events.data(4)
    rows = np.resize(np.arange(N), many)
    scene = scene_of([type(p)(**taken(p, rows)) for p in products], BOXES)
    size = len(page_of(scene, "a").html) - len(plotly_js())
    # position and energy, class and fragment, in base64, and the page's own code
    assert size < many * (16 + 2) * 4 / 3 + 60_000


def taken(product, rows):
    return {
        f.name: events.one(data[0][rows]) if product.columns()[f.name].table == "voxels" else data
        for f, data in product.items()
        if product.columns()[f.name].table
    }


def test_a_page_of_a_server_leaves_plotly_there():
    page = page_at(scene_of(events.data(), BOXES), "a", Place(1, 3), "/plotly.js")
    reader = Reader(page.html)
    assert ("script", "src", "/plotly.js") in reader.attributes
    assert content(reader)["place"] == {"number": 1, "count": 3}
    assert len(page.html) < 100_000


def test_a_notebook_shows_the_page_in_a_frame():
    page = page_of(scene_of(events.data(2), BOXES), "a")
    frame = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: frame.append((tag, dict(attributes)))
    parser.feed(page._repr_html_())
    assert frame[0][0] == "iframe"
    assert frame[0][1]["srcdoc"] == page.html


def test_without_plotly_the_message_says_what_to_install(monkeypatch):
    plotly_js.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(RecoError, match=r"pip install 'lartpc-reco\[view\]'"):
        read()


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    page = page_at(scene_of(events.data(2), BOXES), "a", Place(0, 1), "/p.js")
    with pytest.raises(RecoError, match="cannot be written"):
        page.write(tmp_path / "none" / "a.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(RecoError, match="cannot be written"):
        page.write(tmp_path / "folder.html")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.html"]
