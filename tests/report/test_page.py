"""The page of an evaluation: whole, self-contained, and the same figures as the JSON."""

import json
import re
from math import nan

import pytest

from reco.display.scene import scene_of
from reco.errors import RecoError
from reco.metrics import Settings
from reco.metrics.headlines import HEADLINES, Headline
from reco.metrics.report import Curve, EventScore, Findings, Matrix, Report, Row
from reco.report import write_report

from ..display.events import BOXES, header, truth, voxels

MATRIX = Matrix("Toy", ("a", "b"), ((3, 1, 0), (0, 0, 0)))
CURVES = (
    Curve("Width", "MeV", (20.0, 50.0, 2000.0), {"<bias>": (0.1, nan)}, (4, 0)),
    Curve("Pulls", "pull", (-1.0, 0.0, 1.0), {}, (3, 4)),
    Curve("Nothing", "MeV", (0.0, 1.0), {"x": (nan,)}, (0,)),
)
ROWS = (
    Row("Segmentation", "macro-F1", 0.981, "%", 100, "voxels", 0.5, 0.002),
    Row("Segmentation", "delta accuracy", 0.5, "%", 100, "voxels"),
    Row("Showers", "purity", nan, "%", 0, "events"),
)


@pytest.fixture
def page(tmp_path):
    found = Findings(ROWS, (MATRIX,), CURVES, (EventScore(3, 0.9, 0.2, nan),))
    report = Report.of(2, Settings(voxel_size=0.3), [found])
    scene = scene_of([*header(), *voxels(), *truth()], BOXES)
    path = write_report(report, {"output": "<out>.h5"}, [scene], tmp_path / "new" / "page")
    return report, path


def test_page_is_whole_and_needs_nothing_else(page):
    report, path = page
    html = path.read_text()
    assert html.count("<svg") == html.count("</svg>") == 3  # no figure of what is empty
    assert html.count('<img src="data:image/png;base64,') == 1
    assert not re.search(r"(src|href)=\"(?!data:|#)", html)
    assert "<script" not in html
    assert "&lt;out&gt;.h5" in html
    assert "reco view --event 3" in html
    assert json.loads((path.parent / "figures.json").read_text()) == json.loads(report.to_json())


def test_headlines_have_error_baseline_and_verdict(page):
    html = page[1].read_text()
    line = next(part for part in html.split("<tr>") if "classes, macro-F1" in part)
    for text in ("98.10 ± 0.20 %", "50.00 %", "≥ 97.00 %", '<td class="met">met</td>'):
        assert text in line
    assert '<td class="missed">missed</td>' in html


def test_a_folder_that_cannot_be_made(page, tmp_path):
    report, _ = page
    (tmp_path / "file").write_text("")
    with pytest.raises(RecoError, match="file: cannot be made"):
        write_report(report, {}, [], tmp_path / "file")


def test_worse_is_less_or_more_or_away_from_the_middle():
    more, less = Headline("", "", "", low=0.9), Headline("", "", "", high=0.1)
    both = Headline("", "", "", 0.9, 1.1)
    assert more.worse_by(0.8, 0.9) == less.worse_by(0.9, 0.8) == pytest.approx(0.1)
    assert both.worse_by(0.8, 1.1) == pytest.approx(0.1)
    assert both.worse_by(1.0, 0.8) == pytest.approx(-0.2)
    assert len({(of.section, of.name) for of in HEADLINES}) == len(HEADLINES)
