"""Pictures of one event, after each stage and for the README: python docs/picture.py OUT.h5 EVENT

They are written beside this file.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.patches import Ellipse

import reco

HERE = Path(__file__).parent
CLASSES = ("shower", "track", "Michel", "delta", "low energy")
COLOURS = ListedColormap(["#d1495b", "#2e86ab", "#3bb273", "#e1bc29", "#9a9a9a"])
ARROW = 15.0
"""cm of a direction."""

Tables = ak.Record
"""Tables of one event, by name."""


def energy(axes: Axes, event: Tables) -> None:
    dots = _dots(axes, event, c=np.clip(event.voxels.energy, 0.1, 10), norm=LogNorm(0.1, 10))
    scale = axes.inset_axes((0.06, 0.1, 0.4, 0.025))
    bar = axes.figure.colorbar(dots, cax=scale, orientation="horizontal", ticks=[0.1, 1, 10])
    bar.ax.set_xticklabels(["0.1", "1", "10"], fontsize=8)
    bar.ax.minorticks_off()
    scale.set_title("MeV per voxel", fontsize=8)


def classes(axes: Axes, event: Tables) -> None:
    _dots(axes, event, c=event.voxels.semantic, cmap=COLOURS, vmin=-0.5, vmax=4.5)
    for number, name in enumerate(CLASSES):
        axes.scatter([], [], color=COLOURS(number), s=20, label=name)


def points(axes: Axes, event: Tables) -> None:
    _dots(axes, event, color="#cccccc")
    kind = np.asarray(event.points["type"])
    for number, name in enumerate(CLASSES):
        of = event.points[kind == number]
        axes.scatter(of.z, of.y, s=14, color=COLOURS(number), label=name if len(of) else None)


def fragments(axes: Axes, event: Tables) -> None:
    _groups(axes, event, "fragment")


def particles(axes: Axes, event: Tables) -> None:
    _groups(axes, event, "particle")


def kinematics(axes: Axes, event: Tables) -> None:
    _groups(axes, event, "particle")
    seen = event.particles[event.particles.n_voxels >= 20]
    place, way = ([np.asarray(of[x]) for x in "zy"] for of in (seen.start, seen.direction))
    axes.quiver(*place, *way, angles="xy", scale_units="xy", scale=1 / ARROW, width=0.004)
    axes.plot(*place, "k.", ms=5, label="start and direction")


def interactions(axes: Axes, event: Tables) -> None:
    _groups(axes, event, "interaction")


def vertices(axes: Axes, event: Tables) -> None:
    _groups(axes, event, "interaction")
    for found in event.interactions:
        variance, across = np.linalg.eigh(np.asarray(found.vertex_cov)[1:, 1:])
        width, height = 6 * np.sqrt(variance)  # 3 sigma to either side
        angle = np.degrees(np.arctan2(across[0, 0], across[1, 0]))
        centre = (found.vertex.z, found.vertex.y)
        axes.add_patch(Ellipse(centre, width, height, angle=angle, fill=False, color="k"))
    axes.plot(event.interactions.vertex.z, event.interactions.vertex.y, "k+", label="vertex")


STAGES: dict[str, Callable[[Axes, Tables], None]] = {
    "voxelize": energy,
    "segment": classes,
    "points": points,
    "fragments": fragments,
    "particles": particles,
    "kinematics": kinematics,
    "interactions": interactions,
    "estimates": vertices,
}


def _dots(axes: Axes, event: Tables, **how: object) -> object:
    return axes.scatter(event.voxels.z, event.voxels.y, s=2, linewidths=0, **how)


def _groups(axes: Axes, event: Tables, name: str) -> None:
    """Colours that tell neighbours apart; grey for what is in none."""
    number = np.asarray(event.voxels[name])
    shuffled = np.random.default_rng(2).permutation(number.max(initial=0) + 1)
    colour = plt.get_cmap("turbo")(shuffled[number] / max(len(shuffled) - 1, 1))
    colour[number < 0] = (0.8, 0.8, 0.8, 1)
    _dots(axes, event, color=colour)


def _finish(axes: Axes) -> None:
    axes.set_aspect("equal")
    axes.set_xlabel("z [cm]")
    axes.set_ylabel("y [cm]")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", fontsize=8, frameon=False)


def draw(event: Tables, names: dict[str, str], path: Path) -> None:
    """One panel per stage named, side by side. names: stage -> title."""
    figure, panels = plt.subplots(1, len(names), figsize=(5 * len(names), 4.6), squeeze=False)
    for axes, (stage, title) in zip(panels[0], names.items(), strict=True):
        STAGES[stage](axes, event)
        _finish(axes)
        axes.set_title(title)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(path: str, number: int) -> None:
    with reco.open(path) as output:
        one = output[number : number + 1]
        tables = ("voxels", "points", "particles", "interactions")
        event = ak.Record({name: getattr(one, name)[0] for name in tables})
    for stage in STAGES:
        draw(event, {stage: stage}, HERE / f"event_{stage}.png")
    whole = {"voxelize": "voxels", "segment": "what each voxel is", "estimates": "interactions"}
    draw(event, whole, HERE / "event.png")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
