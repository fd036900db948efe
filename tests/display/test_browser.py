"""The page in a real Chromium: no error in its console, and every switch does what it says."""

import json
from threading import Thread

import numpy as np
import pytest

from reco.display.server import Server
from reco.output import Output
from tests.display.chromium import Browser
from tests.display.turning import energies, tracks, write_page

pytest.importorskip("plotly")
pytestmark = pytest.mark.slow  # half a minute where Chromium draws without a GPU

LEFT = "#reconstruction .plot"
RIGHT = "#truth .plot"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(output, data_output, tmp_path_factory):
    """URL of the page of the complete event, and of the one of data."""
    folder = tmp_path_factory.mktemp("pages")
    urls = []
    for path in (output, data_output):
        with Output(path) as events:
            events[0].show().write(folder / f"{path.stem}.html")
        urls.append((folder / f"{path.stem}.html").as_uri())
    return urls


def opened(browser, url, state=""):
    browser.call("Page.navigate", url="about:blank")
    browser.problems.clear()
    browser.requests.clear()
    browser.open(f"{url}{state}")
    return browser


def trace(browser, plot, field, number=0):
    return browser.js(f"document.querySelector('{plot}').data[{number}].{field}")


def colours(browser, plot=LEFT):
    return browser.js(f"Array.from(document.querySelector('{plot}').data[0].marker.color)")


def told_at(browser, curve, point):
    hovered = {"points": [{"curveNumber": curve, "pointNumber": point}]}
    browser.js(f"document.querySelector('{LEFT}').emit('plotly_hover', {json.dumps(hovered)})")
    return browser.js("document.querySelector('#tip').innerText.replace(/\\s+/g, ' ')")


def click(browser, switch):
    browser.js(f"document.querySelector({json.dumps(switch)}).click()")


def hidden(browser, element):
    return browser.js(f"document.querySelector('{element}').hidden")


def test_the_page_opens_without_a_word_in_the_console(browser, page, tmp_path):
    opened(browser, page[0])
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert browser.problems == []
    assert [
        url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))
    ] == []
    assert browser.js("document.querySelectorAll('#tables tbody tr').length") == 8
    assert not hidden(browser, "#truth")
    # something is drawn: the picture has more colours than paper, ink and grid
    drawn = browser.js(
        """Plotly.toImage(document.querySelector('.plot'), {width: 400, height: 300})
        .then((url) => new Promise((done) => { const image = new Image(); image.onload = () => {
          const canvas = document.createElement('canvas'); canvas.width = 400; canvas.height = 300;
          const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
          const pixels = context.getImageData(0, 0, 400, 300).data, seen = new Set();
          for (let i = 0; i < pixels.length; i += 4) seen.add(pixels.slice(i, i + 3).join());
          done(seen.size); }; image.src = url; }))"""
    )
    assert drawn > 10
    assert browser.problems == []


def test_every_colouring_paints_the_voxels(browser, page):
    opened(browser, page[0])
    names = browser.js("[...document.querySelectorAll('#colour input')].map((i) => i.value)")
    assert names == ["energy", "semantic", "pid", "fragment", "particle", "interaction"]
    for name, kinds in zip(names, (34, 3, 3, 4, 4, 2), strict=True):
        click(browser, f"#colour input[value={name}]")
        assert len(set(colours(browser))) == kinds, name
        assert name == browser.js("new URLSearchParams(location.hash.slice(1)).get('colour')")
    # the particles that match have one colour on both sides
    click(browser, "#colour input[value=particle]")
    assert colours(browser, LEFT) == colours(browser, RIGHT)
    assert browser.problems == []


def test_truth_beside_the_reconstruction(browser, page):
    opened(browser, page[0])
    for show, left, right in (("reconstruction", True, False), ("truth", False, True)):
        click(browser, f"#show input[value={show}]")
        assert hidden(browser, "#reconstruction") is not left
        assert hidden(browser, "#truth") is not right
    # what changed out of sight is right when it is seen again
    click(browser, "#colour input[value=semantic]")
    click(browser, "#show input[value=both]")
    assert colours(browser, LEFT) == colours(browser, RIGHT)
    assert len(set(colours(browser))) == 3
    widths = [browser.js(f"document.querySelector('{p}').clientWidth") for p in (LEFT, RIGHT)]
    assert abs(widths[0] - widths[1]) <= 2
    assert browser.problems == []


def test_marks_can_be_switched_off(browser, page):
    opened(browser, page[0])
    layers = {"points": [2], "starts": [3, 4], "vertices": [5, 6], "outline": [1]}
    for layer, traces in layers.items():
        before = trace(browser, LEFT, "visible", traces[0])
        assert before == (layer != "points")  # there are starts
        click(browser, f"#layers input[value={layer}]")
        for number in traces:
            assert trace(browser, LEFT, "visible", number) is not before
    state = browser.js("location.hash")
    opened(browser, page[0], state)  # the address holds it all
    assert [trace(browser, LEFT, "visible", n) for n in (1, 2, 3, 5)] == [False, True, False, False]
    assert browser.problems == []


def test_both_sides_turn_together(browser, page):
    opened(browser, page[0])
    box = browser.js(
        f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
        f"(document.querySelector('{LEFT}').getBoundingClientRect())"
    )
    eye = "JSON.stringify(document.querySelector('{}')._fullLayout.scene._scene.getCamera().eye)"
    before = browser.js(eye.format(RIGHT))
    browser.mouse("mouseMoved", *box)
    browser.mouse("mousePressed", *box, "left")
    for step in range(1, 6):
        browser.mouse("mouseMoved", box[0] + 20 * step, box[1] + 5 * step, "left")
    browser.mouse("mouseReleased", box[0] + 100, box[1] + 25, "left")
    browser.until(f"{eye.format(RIGHT)} !== '{before}'")
    browser.until(
        """(() => { const [a, b] = ['#reconstruction .plot', '#truth .plot'].map((plot) =>
        document.querySelector(plot)._fullLayout.scene._scene.getCamera().eye);
        return Math.hypot(a.x - b.x, a.y - b.y, a.z - b.z) < 0.05; })()"""
    )
    assert browser.problems == []


MANY = 12_000
SLOWLY = """
(() => {
  const wait = () => {
    for (const end = performance.now() + 120; performance.now() < end;);
    requestAnimationFrame(wait);
  };
  wait();
})()
"""
CLOUD = f"document.querySelector('{LEFT}')._fullLayout.scene._scene.glplot.objects[0]"


def test_few_voxels_while_the_view_moves_and_all_when_it_rests(browser, tmp_path):
    opened(browser, write_page(tmp_path, MANY))
    browser.js(SLOWLY)
    whole = browser.js(f"{CLOUD}.vertexCount")
    browser.mouse("mouseMoved", 500, 350)
    browser.mouse("mousePressed", 500, 350, "left")
    assert browser.js(f"{CLOUD}.vertexCount") == whole  # nothing has moved
    browser.mouse("mouseMoved", 520, 360, "left")
    browser.until(f"{CLOUD}.vertexCount < {whole}")
    drawn = browser.js(f"{CLOUD}.vertexCount")
    assert drawn >= whole * 5000 / MANY
    assert drawn % (whole / MANY) == 0
    browser.mouse("mouseReleased", 520, 360, "left")
    browser.until(f"{CLOUD}.vertexCount === {whole} && !!{CLOUD}.drawPick")
    wheeled = browser.js(
        f"""new Promise((done) => {{
        document.querySelector('{LEFT} canvas').dispatchEvent(new WheelEvent('wheel'));
        requestAnimationFrame(() => done({CLOUD}.vertexCount)); }})"""
    )
    assert wheeled < whole
    browser.until(f"{CLOUD}.vertexCount === {whole}")
    assert browser.problems == []


def test_the_first_of_many_voxels_stand_for_all(browser, tmp_path):
    opened(browser, write_page(tmp_path, MANY))
    drawn = f"document.querySelector('{LEFT}').data[0]"
    told = np.stack([browser.js(f"Array.from({drawn}.{axis})") for axis in "xyz"], axis=1)
    where = tracks(MANY)
    order = np.lexsort(where.T)[np.argsort(np.lexsort(told.T))]
    np.testing.assert_array_equal(told, where[order])  # each voxel once
    for place in (0, 1, 4999, MANY - 1):
        assert f"energy {energies(MANY)[order[place]]:#.3g} MeV" in told_at(browser, 0, place)
    of_track = np.bincount(order[:5000] // 500, minlength=MANY // 500)
    assert abs(of_track - 5000 * 500 / MANY).max() < 5


def test_views_along_the_axes(browser, page):
    opened(browser, page[0], "#show=reconstruction")
    click(browser, "#look button:nth-of-type(3)")
    camera = "document.querySelector('#reconstruction .plot').layout.scene.camera"
    browser.until(f"{camera}.projection.type === 'orthographic'")
    assert browser.js(f"{camera}.eye.y") == 0
    assert browser.js(f"{camera}.eye.x") < 0


def test_a_row_of_the_table_shows_its_particle_alone(browser, page):
    opened(browser, page[0])
    muon = "#tables tr[data-side=reconstruction][data-row='2']"
    click(browser, muon)
    for plot in (LEFT, RIGHT):  # here, and its partner there
        assert [c > 0 for c in colours(browser, plot)] == [True] * 20 + [False] * 14
    chosen = "[...document.querySelectorAll('tr.chosen')].map((r) => r.dataset.row)"
    assert browser.js(chosen) == ["2", "0"]
    click(browser, muon)
    assert 0 not in colours(browser)
    click(browser, "#tables thead th:nth-child(3)")  # by energy
    rows = "document.querySelector('#tables tbody').rows"
    assert browser.js(f"[...{rows}].map((row) => row.dataset.row)") == ["2", "0", "1", "3"]
    assert browser.problems == []


def test_a_click_on_a_voxel_shows_its_particle_alone(browser, page):
    """The pointer goes where a voxel is drawn, found by looking under it."""
    opened(browser, page[0], "#show=reconstruction")
    box = browser.js(f"JSON.stringify(document.querySelector('{LEFT}').getBoundingClientRect())")
    area = json.loads(box)
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    told = "document.querySelector('#tip').hidden ? '' : document.querySelector('#tip').innerText"
    for step in range(60):
        x, y = middle[0] + 2 * (step % 10), middle[1] + 4 * (step // 10) - 8
        browser.mouse("mouseMoved", x, y)
        browser.js(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        if "particle" in browser.js(told):
            break
    assert "particle" in browser.js(told)
    browser.mouse("mousePressed", x, y, "left")
    browser.mouse("mouseReleased", x, y, "left")
    browser.until("document.querySelector('tr.chosen') !== null")
    assert 0 in colours(browser)
    assert browser.problems == []


def test_the_pointer_tells_the_numbers(browser, page):
    opened(browser, page[0])
    voxel = told_at(browser, 0, 0)
    assert "class track" in voxel
    assert "true class track" in voxel
    assert "particle 2" in voxel
    assert "energy [MeV] 230 ± 12" in voxel
    assert told_at(browser, 3, 2).startswith("start of particle 2")
    vertex = told_at(browser, 5, 0)
    assert vertex.startswith("vertex of interaction 0")
    assert "± [cm] 0.2, 0.1, 0.3" in vertex
    assert told_at(browser, 2, 1) == "point of a track score 0.80"
    assert browser.problems == []


def test_an_output_of_data_that_stops_early(browser, page):
    opened(browser, page[1])
    assert hidden(browser, "#show")
    assert hidden(browser, "#truth")
    names = browser.js("[...document.querySelectorAll('#colour input')].map((i) => i.value)")
    assert names == ["energy", "semantic", "fragment"]
    assert trace(browser, LEFT, "visible", 2) is True  # points: there are no starts yet
    assert "stops before the particles" in browser.js("document.querySelector('#tables').innerText")
    assert browser.problems == []


def test_browsing_the_events_of_a_file(browser, output):
    with Output(output) as events, Server(events, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        opened(browser, server.url_of(0), "#colour=semantic")
        assert browser.js("document.querySelector('#previous').hasAttribute('href')") is False
        for number in (1, 2):
            click(browser, "#next")
            browser.until(f"location.pathname === '/event/{number}'")
            browser.until("document.body?.dataset.ready === 'yes'")
            assert browser.js("document.querySelector('#colour :checked').value") == "semantic"
        assert browser.js("document.querySelector('#next').hasAttribute('href')") is False
        assert "no memory" in browser.js("document.querySelector('#note').innerText")
        assert browser.problems == []
        assert {url.split("/")[2] for url in browser.requests} == {
            f"127.0.0.1:{server.server_port}"
        }
        server.shutdown()
