"""The picture of the README: python docs/picture.py OUT.h5 EVENT docs/event.png"""

import sys

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap, LogNorm

import reco

CLASSES = ("shower", "track", "Michel", "delta", "low energy")
COLOURS = ListedColormap(["#d1495b", "#2e86ab", "#3bb273", "#e1bc29", "#9a9a9a"])


def main(path: str, number: int, picture: str) -> None:
    with reco.open(path) as output:
        event = output[number : number + 1]
        voxels, particles, vertices = (
            event.voxels[0],
            event.particles[0],
            event.interactions.vertex[0],
        )
    y, z = (np.asarray(voxels[axis]) for axis in "yz")
    figure, axes = plt.subplots(1, 3, figsize=(15, 5), sharex=True, sharey=True)
    dots = {"s": 2, "linewidths": 0}
    energy = np.clip(voxels.energy, 0.05, 20)
    shade = axes[0].scatter(z, y, c=energy, norm=LogNorm(), cmap="viridis", **dots)
    scale = axes[0].inset_axes((0.06, 0.1, 0.4, 0.025))
    bar = figure.colorbar(shade, cax=scale, orientation="horizontal", ticks=[0.1, 0.3, 1, 3, 10])
    bar.ax.set_xticklabels(["0.1", "0.3", "1", "3", "10"], fontsize=8)
    bar.ax.minorticks_off()
    scale.set_title("MeV per voxel", fontsize=8)
    axes[0].set_title("voxels")
    axes[1].scatter(z, y, c=voxels.semantic, cmap=COLOURS, vmin=-0.5, vmax=4.5, **dots)
    for number_, name in enumerate(CLASSES):
        axes[1].scatter([], [], color=COLOURS(number_), s=20, label=name)
    axes[1].legend(loc="lower left", fontsize=8, frameon=False)
    axes[1].set_title("what each voxel is")
    hue = np.random.default_rng(2).permutation(len(particles) + 1) / (len(particles) + 1)
    axes[2].scatter(z, y, c=hue[np.asarray(voxels.particle)], cmap="turbo", **dots)
    axes[2].plot(vertices.z, vertices.y, "k+", ms=9, mew=1.6, label="vertex")
    axes[2].legend(loc="lower left", fontsize=8, frameon=False)
    axes[2].set_title("particles and vertices")
    for axis in axes:
        axis.set_aspect("equal")
        axis.set_xlabel("z [cm]")
    axes[0].set_ylabel("y [cm]")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
