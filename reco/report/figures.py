"""Figures of an evaluation as pictures that stand in a page: SVG for lines, PNG for events."""

import base64
from collections.abc import Mapping
from io import BytesIO, StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from reco.data.ragged import Array
from reco.display.scene import Cloud, Scene
from reco.metrics.report import Curve, Matrix
from reco.metrics.segmentation import normalised

VIEWS = ((2, 1), (2, 0))
"""Axes that an event is projected on: z and y, z and x."""
PALETTE = "tab20"


def matrix_figure(matrix: Matrix) -> str:
    """SVG of the shares by truth, in %."""
    share = 100 * normalised(np.array(matrix.counts))
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(matrix.labels) + 1), (*matrix.labels, "none"), rotation=30)
    axes.set_yticks(range(len(matrix.labels)), matrix.labels)
    axes.set(xlabel="reconstructed", ylabel="true", title=matrix.name)
    for (i, j), value in np.ndenumerate(share):
        colour = "white" if value > 60 else "black"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
    return _svg(figure)


def curve_figure(curve: Curve) -> str:
    """SVG: lines over the middles of the bins, or a histogram."""
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    edges, count = np.array(curve.edges), np.array(curve.count)
    wide = edges[0] > 0 and edges[-1] / edges[0] > 30
    middle = np.sqrt(edges[1:] * edges[:-1]) if wide else (edges[1:] + edges[:-1]) / 2
    for name, values in curve.values.items():
        axes.plot(middle, 100 * np.array(values), "o-", markersize=3, label=name)
    if curve.values:
        axes.set_ylabel("%")
        axes.legend(fontsize=8)
    else:
        axes.stairs(count, edges)
        axes.set_ylabel("entries")
    if curve.x == "pull":
        normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
        axes.plot(middle, count.sum() * np.diff(edges) * normal, ":", color="grey")
    axes.set(xlabel=curve.x, title=curve.name)
    if wide:
        axes.set_xscale("log")
        axes.set_xticks(edges, [f"{edge:g}" for edge in edges], rotation=45, fontsize=8)
        axes.minorticks_off()
    axes.grid(alpha=0.3)
    return _svg(figure)


def event_figure(scene: Scene) -> str:
    """PNG as a data URI: true and reconstructed particles and interactions, in two projections."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    sides = [("found", scene.reconstruction)]
    if scene.truth is not None:
        sides.insert(0, ("true", scene.truth))
    panels = [(f"{n} {o}s", side, o) for o in ("particle", "interaction") for n, side in sides]
    grid = figure.subplots(len(VIEWS), len(panels), squeeze=False)
    for column, (title, side, owner) in enumerate(panels):
        colour = _colours(side.voxels, side.slots, owner)
        for row, (x, y) in enumerate(VIEWS):
            axes, place = grid[row, column], side.voxels.position
            axes.scatter(place[:, x], place[:, y], c=colour, s=0.6, linewidths=0)
            axes.set(xlabel=f"{'xyz'[x]} [cm]", ylabel=f"{'xyz'[y]} [cm]")
            axes.tick_params(labelsize=7)
        grid[0, column].set_title(title, fontsize=9)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    return f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode('ascii')}"


def _colours(voxels: Cloud, slots: Mapping[str, Array], owner: str) -> Array:
    """(N, 4), the same for partners on both sides; grey for what belongs to none."""
    number = voxels.labels.get(owner, np.full(len(voxels.position), -1))
    palette = mpl.colormaps[PALETTE]
    colour = np.full((len(number), 4), 0.8)
    known = number >= 0
    if known.any():
        colour[known] = palette(np.asarray(slots[owner])[number[known]] % palette.N)
    return colour


def _svg(figure: Figure) -> str:
    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "reco"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]
