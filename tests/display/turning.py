"""How smoothly a page of many voxels turns, in a headless Chromium that draws in software.

    python -m tests.display.turning --voxels 100000 --screenshot turning.png

Straight tracks fill the detector; the mouse turns them about, and what plotly draws is counted:
the first pictures, in which the page finds how many voxels are drawn in time, and those after.
Frames per second depend on what else the machine does; the time of the processor that all of
Chromium takes for a frame does not.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from reco.data.products import Header, Outcome, Voxels
from reco.data.ragged import Array, Ragged
from reco.io.store import Writer
from reco.output import Output
from tests.display.chromium import Browser

SIZE = 100.0
"""Half of the side of the detector, cm."""
COUNT = """
(() => {
  const plot = document.querySelector(".plot")._fullLayout.scene._scene.glplot;
  const before = plot.onrender;
  window.frames_drawn = 0;
  plot.onrender = () => { window.frames_drawn += 1; before?.(); };
})()
"""
RENDERER = """
(() => {
  const gl = document.createElement("canvas").getContext("webgl");
  return gl.getParameter(gl.getExtension("WEBGL_debug_renderer_info").UNMASKED_RENDERER_WEBGL);
})()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--screenshot", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = write_page(Path(folder), given.voxels)
        browser = Browser(Path(folder) / "profile", patience=900)
        try:
            began = time.monotonic()
            browser.open(url)
            opened = time.monotonic() - began
            opening = cpu_seconds(browser)
            print(f"{given.voxels} voxels, {browser.js(RENDERER)}")
            print(f"opened in {opened:.1f} s ({opening:.1f} s of the processor)")
            browser.js(COUNT)
            browser.mouse("mousePressed", 500, 350, "left")
            for when, pictures in (("first", 8), ("then", given.pictures)):
                print(f"{when} {turn(browser, pictures)}")
            browser.mouse("mouseReleased", 500, 350, "left")
            if given.screenshot:
                browser.screenshot(given.screenshot)
        finally:
            browser.close()


def write_page(folder: Path, n: int) -> str:
    """URL of the page of one event."""
    where = tracks(n)
    box = [{"lower": [-SIZE] * 3, "upper": [SIZE] * 3}]
    index = Ragged.one(np.floor(where / 0.3).astype(np.int32))
    energy = Ragged.one(energies(n))
    one = np.ones(1, np.int64)
    products = [
        Header(one, one, one, one),
        Outcome([0], [b""]),
        Voxels(index, Ragged.one(where), energy, one * n, one * 0),
    ]
    with Writer(folder / "many.h5", {"detector": {"volumes": box}}) as out:
        out.write(products)
    with Output(folder / "many.h5") as events:
        events[0].show().write(folder / "many.html")
    return (folder / "many.html").as_uri()


def tracks(n: int, each: int = 500) -> Array:
    """(n, 3) float32 positions along straight lines, cm."""
    rng = np.random.default_rng(1)
    ends = rng.uniform(-SIZE, SIZE, (2, -(-n // each), 1, 3))
    along = np.linspace(0, 1, each)[:, None]
    points = ends[0] * (1 - along) + ends[1] * along
    return points.reshape(-1, 3)[:n].astype(np.float32)


def energies(n: int) -> Array:
    """(n,) float32, MeV."""
    return np.random.default_rng(1).gamma(2.0, 0.3, n).astype(np.float32)


def cpu_seconds(browser: Browser) -> float:
    """Of all processes of the browser so far."""
    main = psutil.Process(browser.pid)
    return sum(sum(p.cpu_times()[:2]) for p in (main, *main.children(recursive=True)))


def turn(browser: Browser, pictures: int) -> str:
    """What so many pictures take while the mouse drags."""
    began, used = time.monotonic(), cpu_seconds(browser)
    first = frames = int(browser.js("window.frames_drawn"))
    while frames < first + pictures:
        now = time.monotonic()
        x, y = 500 + 200 * np.sin(3 * now), 350 + 100 * np.cos(3 * now)
        browser.mouse("mouseMoved", float(x), float(y), "left")
        frames = int(browser.js("window.frames_drawn"))
    taken, used = time.monotonic() - began, cpu_seconds(browser) - used
    frames -= first
    return f"{frames / taken:.1f} frames/s, {used / frames:.3f} s of the processor a frame"


if __name__ == "__main__":
    main()
