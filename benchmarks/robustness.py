"""What becomes of the headline figures when the simulation is not the one of the training.

    python benchmarks/robustness.py --events 200
    python benchmarks/robustness.py --seed 7 --dead dead.yaml

The same events are simulated again with one thing changed, reconstructed with the shipped weights
and evaluated; the table has the nominal figures with their statistical errors and, for each
variation, the difference. `!` marks a figure that is worse by more than 3 points. What is in the
folder already is not made again: other weights need another folder. The second line only writes a
detector with dead patches, others for every seed, to simulate with and to train on.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import yaml

from reco.detector import Detector, find
from reco.metrics.headlines import HEADLINES, Headline
from reco.simulate.response import PATCH, Response

NOMINAL = Response.of(Detector.load("generic"))
VARIATIONS = {
    "nominal": (),
    "FTF_BIC + WVI": ("options.hadronic=FTF_BIC", "options.electromagnetic=WVI"),
    "recombination β x 1.1": (f"response.beta={1.1 * NOMINAL.beta}",),
    "recombination β x 0.9": (f"response.beta={0.9 * NOMINAL.beta}",),
    "lifetime x 1/2": (f"response.lifetime={NOMINAL.lifetime / 2}",),
    "noise x 2": (f"response.noise={2 * NOMINAL.noise}",),
    "threshold x 2": (f"response.threshold={2 * NOMINAL.threshold}",),
    "5 % dead": ("response.dead=0.05",),
}
DEAD = 0.05
WORSE = 0.03
Figures = dict[tuple[str, str], tuple[float, float]]
"""Section and name of each figure -> value and statistical error, NaN where there is none."""


@dataclass(frozen=True)
class Job:
    """How many events of which recipe, with which seed, by how many processes, and where."""

    recipe: str
    events: int
    seed: int
    jobs: int
    folder: Path

    def figures(self, name: str, changes: tuple[str, ...]) -> Figures:
        title = f"{Path(self.recipe).stem} {self.events} {self.seed} {name}"
        stem = self.folder / "".join(c if c.isalnum() else "_" for c in title)
        hits, output, result = (Path(f"{stem}{end}") for end in (".h5", "_reco.h5", ".json"))
        if not result.exists():
            sample = [self.recipe, f"-n{self.events}", f"--seed={self.seed}", f"-j{self.jobs}"]
            settings = [f"--set={change}" for change in changes]
            known = [word for word in settings if word.startswith("--set=detector=")]
            _reco("simulate", *sample, *settings, "-o", str(hits), "--overwrite")
            _reco("run", "lartpc", str(hits), *known, "-o", str(output), "--overwrite")
            _reco("evaluate", str(output), "--no-baselines", "--json", str(result))
        rows = json.loads(result.read_text(encoding="utf-8"))["rows"]
        return {(r["section"], r["name"]): (_number(r["value"]), _number(r["error"])) for r in rows}


def write_dead(path: Path, seed: int) -> None:
    """A detector as `generic`, but that DEAD of its readout sees nothing: patches of PATCH cells
    across the drift, drawn with this seed for each volume, all the way along it."""
    content = yaml.safe_load(find("generic").read_text(encoding="utf-8"))
    rng, size = np.random.default_rng(seed), PATCH * content["voxel_size"]
    dead = []
    for volume in Detector.load("generic").volumes:
        grid = np.ceil(np.subtract(volume.upper, volume.lower) / size - 1e-6).astype(int)
        grid[volume.drift_axis] = 1
        for patch in np.argwhere(rng.random(grid) < DEAD):
            lower = np.round(volume.lower + patch * size, 6)
            upper = np.round(lower + size, 6)
            upper[volume.drift_axis] = volume.upper[volume.drift_axis]
            dead.append({"lower": lower.tolist(), "upper": upper.tolist()})
    content |= {"name": f"generic-dead-{seed}", "dead": dead}
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _reco(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reco.cli", *words], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"reco {' '.join(words)}: {done.stderr.strip()}")


def line(of: Headline, columns: list[Figures]) -> str | None:
    """One figure of the table; None where the nominal sample has none."""
    found = [column.get((of.section, of.name), (float("nan"),) * 2) for column in columns]
    values, error = [value for value, _ in found], found[0][1]
    if isnan(values[0]):
        return None
    cells = [
        f"{100 * (v - values[0]):+.1f}{'!' if of.worse_by(v, values[0]) > WORSE else ' '}"
        for v in values[1:]
    ]
    nominal = f"{100 * values[0]:8.1f} ±{100 * error:5.1f}"
    return f"{of.label:52s}{nominal}" + "".join(f"{c:>9s}" for c in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="mixed", help="a name, or a HepMC3 file of neutrinos")
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("work/robustness"))
    parser.add_argument("--dead", type=Path, help="only write this detector, with dead patches")
    given = vars(parser.parse_args())
    if path := given.pop("dead"):
        write_dead(path, given["seed"])
        return
    job = Job(**given)
    job.folder.mkdir(parents=True, exist_ok=True)
    dead = (job.folder / f"dead_{job.seed}.yaml").absolute()
    write_dead(dead, job.seed)
    variations = VARIATIONS | {"5 % dead, known": (f"detector={dead}",)}
    columns = [job.figures(name, changes) for name, changes in variations.items()]
    print(f"{job.events} events of {job.recipe}, seed {job.seed}; in %, or hundredths of the unit")
    for number, name in enumerate(variations):
        print(f"  ({number}) {name}")
    numbers = (f"({n})" for n in range(1, len(columns)))
    print(" " * 52 + " nominal       " + "".join(f"{n:>8s} " for n in numbers))
    print("\n".join(text for of in HEADLINES if (text := line(of, columns))))


if __name__ == "__main__":
    main()
