"""From a recipe and a seed to a file of hits with full truth.

Event i of seed s depends on (recipe, options, s, i) alone: neither the number of processes nor the
range of events that is asked for changes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reco.data.bundle import Bundle
from reco.data.labels import EventTruth, label
from reco.data.products import Header, Hits, Quantity, TruthDeposits
from reco.data.ragged import Array, Ragged
from reco.data.tracks import Deposits
from reco.detector import Detector
from reco.errors import ConfigError
from reco.io.root_writer import RootWriter
from reco.io.store import Writer
from reco.simulate.geant4 import Geant4, Options
from reco.simulate.hepmc import HepMCRecipe
from reco.simulate.primary import Primary
from reco.simulate.recipes import RECIPES, Recipe
from reco.simulate.response import ReadHits, Readout, Response, respond

EVENTS_PER_TASK = 16


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    recipe: a name in RECIPES, or the path of a HepMC3 file. events, first: how many, from which
    number. detector: name or path. response: None for the detector's own. spread: relative spread
    of the response's constants from event to event (0: none).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # of what is read as one
    recipe: str = "mixed"
    events: int = 10
    first: int = 0
    seed: int = 1
    detector: str = "generic"
    options: Options = field(default_factory=Options)
    response: Response | None = None
    spread: float = 0.0


def generate(
    plan: Plan,
    path: str | Path,
    *,
    jobs: int = 1,
    progress: Callable[[int], object] = lambda events: None,
) -> None:
    """Simulate into `path`: a TTree of hits where it ends in .root, the native HDF5 otherwise.

    progress: called with the number of events that have just been written.
    Raises ConfigError for an unknown recipe, RecoError where Geant4 or the disk is missing.
    """
    provenance = {"simulated": asdict(plan), "detector": asdict(Detector.load(plan.detector))}
    with _writer(Path(path), provenance) as out:
        for bundle in _bundles(plan, jobs):
            out.write(bundle)
            progress(len(bundle))


def _writer(path: Path, provenance: Mapping[str, Any]) -> Writer | RootWriter:
    kind = RootWriter if path.suffix == ".root" else Writer
    return kind(path, provenance)


def _bundles(plan: Plan, jobs: int) -> Iterator[Bundle]:
    ranges = [
        range(first, min(first + EVENTS_PER_TASK, plan.first + plan.events))
        for first in range(plan.first, plan.first + plan.events, EVENTS_PER_TASK)
    ]
    if jobs == 1:
        yield from map(partial(_simulate_range, plan), ranges)
        return
    # spawn: Geant4 and numba's threads do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_simulate_range, plan), ranges)


def recipe_of(name: str, side: float) -> Recipe:
    """Raises ConfigError when it is neither a recipe's name nor a file."""
    if name in RECIPES:
        return RECIPES[name](side=side)
    if Path(name).is_file():
        return HepMCRecipe(Path(name), side=side)
    raise ConfigError(
        f"recipe {name!r}: neither one of {', '.join(sorted(RECIPES))} nor a HepMC3 file"
    )


def _simulate_range(plan: Plan, numbers: range) -> Bundle:
    detector = Detector.load(plan.detector)
    recipe = recipe_of(plan.recipe, plan.options.side)
    return Bundle.concat([simulate_event(plan, detector, recipe, i) for i in numbers])


def simulate_event(plan: Plan, detector: Detector, recipe: Recipe, number: int) -> Bundle:
    """Header, Hits, TruthDeposits, TruthParticles and TruthInteractions of one event."""
    rng = np.random.default_rng([plan.seed, number])
    primaries = recipe(rng)
    tracks, deposits = Geant4.shared(plan.options).simulate(
        primaries, seed=plan.seed << 32 | number
    )
    truth = label(
        tracks,
        deposits,
        voxel_size=detector.voxel_size,
        bounds=(detector.lower, detector.upper),
        neutrino_pdg=_neutrinos(primaries),
    )
    hits = _read_out(plan, detector, deposits, truth, rng)
    return Bundle(
        (
            _header(plan.seed, number),
            _hits(hits),
            TruthDeposits(
                position=Ragged.one(hits.position),
                energy=Ragged.one(hits.energy),
                semantic=Ragged.one(hits.semantic),
                fragment=Ragged.one(hits.fragment),
                particle=Ragged.one(hits.particle),
            ),
            truth.particles,
            truth.interactions,
        )
    )


def _neutrinos(primaries: Sequence[Primary]) -> Array:
    """(I,) PDG code of the neutrino of each interaction, 0 for none."""
    codes = np.zeros(1 + max((p.interaction for p in primaries), default=-1), np.int32)
    codes[[p.interaction for p in primaries]] = [p.neutrino for p in primaries]
    return codes


def _read_out(
    plan: Plan, detector: Detector, deposits: Deposits, truth: EventTruth, rng: np.random.Generator
) -> ReadHits:
    response = plan.response or Response.of(detector)
    if plan.spread:
        response = response.varied(plan.spread, rng)
    return respond(deposits, truth, response, Readout.of(detector), rng)


def _header(seed: int, number: int) -> Header:
    return Header(
        run=np.array([seed]),
        subrun=np.array([0]),
        event=np.array([number]),
        entry=np.array([number]),
    )


def _hits(hits: ReadHits) -> Hits:
    return Hits(
        position=Ragged.one(hits.position),
        value=Ragged.one(hits.charge),
        time=Ragged.one(hits.time),
        quantity=np.array([Quantity.CHARGE]),
    )
