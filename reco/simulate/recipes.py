"""Recipes of events: from a generator of random numbers to the primaries of one event.

Modelled on the public generator configurations of ICARUS, SBND and DUNE and on PILArNet
(arXiv:2006.01993): "multi-particle vertices", "multi-particle rain", and what those leave rare.
All lengths are cm, all energies kinetic and MeV; the cube is centred on the origin, y points up.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from reco.errors import ConfigError
from reco.simulate.primary import Primary, Vector

SIDE = 230.4
"""768 voxels of 3 mm."""

Rng = np.random.Generator
Recipe = Callable[[Rng], list[Primary]]
Energies = tuple[float, float]

ELECTRON, PHOTON, MUON, PION, PION0, KAON, PROTON, NEUTRON = 11, 22, 13, 211, 111, 321, 2212, 2112

MUON_ENERGY = (10.0, 20.0, 30.0, 40.0, 80.0, 100.0, 140.0, 200.0, 300.0, 400.0, 800.0, 1000.0)
MUON_RANGE = (0.70, 2.38, 4.73, 7.58, 22.09, 30.44, 48.22, 76.15, 123.6, 170.8, 353.4, 441.5)
"""CSDA range in liquid argon, cm (Groom, Mokhov, Striganov 2001, for 1.396 g/cm3)."""


@dataclass(frozen=True)
class Single:
    """One particle from a random place in the cube, into the half that holds its centre."""

    pdg: int = MUON
    energies: Energies = (20.0, 2000.0)
    side: float = SIDE

    def __post_init__(self) -> None:
        _check_energies(self.energies)

    def __call__(self, rng: Rng) -> list[Primary]:
        position = _inside(rng, self.side)
        direction = _inwards(position, _isotropic(rng))
        return [Primary(0, self.pdg, rng.uniform(*self.energies), position, direction)]


@dataclass(frozen=True)
class Vertex:
    """2 to 6 particles from one point: an e or μ, 0-2 charged pions, 0-2 γ or π0, 0-5 protons.

    energies: of all but the protons. Each particle is isotropic; signs of charge are even.
    """

    energies: Energies = (50.0, 1000.0)
    proton_energies: Energies = (50.0, 400.0)
    side: float = SIDE

    def __post_init__(self) -> None:
        _check_energies(self.energies, self.proton_energies)

    def __call__(self, rng: Rng) -> list[Primary]:
        position = _inside(rng, self.side)
        return [
            Primary(0, pdg, rng.uniform(*self._energies(pdg)), position, _isotropic(rng))
            for pdg in _particles_of_vertex(rng)
        ]

    def _energies(self, pdg: int) -> Energies:
        return self.proton_energies if pdg == PROTON else self.energies


@dataclass(frozen=True)
class Rain:
    """1 to 10 single particles, each an interaction of its own.

    mixture: PDG code -> weight. count: least and most particles.
    """

    mixture: Mapping[int, float] = field(
        default_factory=lambda: {MUON: 5.0, ELECTRON: 2.0, PHOTON: 3.0, PROTON: 5.0}
    )
    energies: Energies = (50.0, 1000.0)
    proton_energies: Energies = (50.0, 400.0)
    count: tuple[int, int] = (1, 10)
    side: float = SIDE

    def __post_init__(self) -> None:
        _check_energies(self.energies, self.proton_energies)

    def __call__(self, rng: Rng) -> list[Primary]:
        count = int(rng.integers(self.count[0], self.count[1] + 1))
        return combine(self._one(rng) for _ in range(count))

    def _one(self, rng: Rng) -> list[Primary]:
        pdg = _choose(rng, self.mixture)
        energies = self.proton_energies if pdg == PROTON else self.energies
        return Single(_signed(rng, pdg), energies, self.side)(rng)


@dataclass(frozen=True)
class StoppingMuon:
    """A μ+ that comes to rest in the cube and decays there: a Michel electron.

    It may start up to `padding` outside the cube.
    """

    energies: Energies = (20.0, 350.0)
    side: float = SIDE
    padding: float = 45.0

    def __post_init__(self) -> None:
        _check_energies(self.energies)
        if self.energies[0] < MUON_ENERGY[0] or self.energies[1] > MUON_ENERGY[-1]:
            raise ConfigError(
                f"energies of stopping muons must lie in {MUON_ENERGY[0]:g}.."
                f"{MUON_ENERGY[-1]:g} MeV, not {self.energies}"
            )

    def __call__(self, rng: Rng) -> list[Primary]:
        while True:
            energy, stop, direction = (
                rng.uniform(*self.energies),
                np.array(_inside(rng, self.side)),
                np.array(_isotropic(rng)),
            )
            start = stop - np.interp(energy, MUON_ENERGY, MUON_RANGE) * direction
            if (abs(start) < self.side / 2 + self.padding).all():
                return [Primary(0, -MUON, energy, _vector(start), _vector(direction))]


@dataclass(frozen=True)
class Cosmic:
    """A muon from above: cos2 of the zenith angle, E^-2.7 from 0.5 to 20 GeV, 56 % μ+."""

    energies: Energies = (500.0, 20000.0)
    side: float = SIDE
    height: float = 45.0

    def __post_init__(self) -> None:
        _check_energies(self.energies)

    def __call__(self, rng: Rng) -> list[Primary]:
        low, high = (energy**-1.7 for energy in self.energies)
        energy = (low + (high - low) * rng.random()) ** (-1 / 1.7)
        cosine = rng.random() ** (1 / 3)
        sine, azimuth = math.sqrt(1 - cosine**2), rng.uniform(0, 2 * math.pi)
        direction = (sine * math.cos(azimuth), -cosine, sine * math.sin(azimuth))
        # Aimed at a point of the upper face, so that each one crosses the cube.
        x, z = rng.uniform(-self.side / 2, self.side / 2, 2)
        at_top = np.array([x, self.side / 2, z])
        start = at_top - np.array(direction) * min(self.height, self.height / max(sine, cosine))
        pdg = -MUON if rng.random() < 0.56 else MUON
        return [Primary(0, pdg, energy, _vector(start), direction)]


@dataclass(frozen=True)
class Kaon(Single):
    """A charged kaon."""

    pdg: int = KAON
    energies: Energies = (50.0, 500.0)


@dataclass(frozen=True)
class NeutralPion(Single):
    """A π0: two photons from one point."""

    pdg: int = PION0
    energies: Energies = (20.0, 1000.0)


@dataclass(frozen=True)
class Hadrons:
    """One species of what a neutrino knocks out of a nucleus.

    count: mean of a Poisson distribution. least, mean: of an exponential one, in MeV.
    """

    pdg: int
    count: float
    least: float
    mean: float

    def energies(self, rng: Rng) -> Iterable[float]:
        """Kinetic energies of one event's."""
        return self.least + rng.exponential(self.mean, rng.poisson(self.count))


@dataclass(frozen=True)
class Neutrino:
    """What a neutrino may leave of a nucleus, and 0-3 cosmic muons across it.

    Not a generator but ranges wide enough for those there are: an e or μ in `charged` of the events
    (energies: of it, flat in the logarithm) and hadrons, most of them soft. Each is isotropic and
    knows nothing of the others; some events show a proton of a few voxels alone. cosmics: weights
    of 0, 1, 2.. of them.
    """

    energies: Energies = (20.0, 3000.0)
    charged: float = 0.85
    hadrons: tuple[Hadrons, ...] = (
        Hadrons(PROTON, count=1.8, least=10.0, mean=70.0),
        Hadrons(PION, count=0.4, least=15.0, mean=200.0),
        Hadrons(PION0, count=0.15, least=10.0, mean=250.0),
        Hadrons(NEUTRON, count=1.0, least=5.0, mean=60.0),
    )
    cosmics: tuple[float, ...] = (0.6, 0.2, 0.1, 0.1)
    side: float = SIDE

    def __post_init__(self) -> None:
        _check_energies(self.energies)
        if not 0 <= self.charged <= 1 or not (self.charged or self.hadrons):
            raise ConfigError(f"charged = {self.charged} must be a probability, or leaves nothing")

    def __call__(self, rng: Rng) -> list[Primary]:
        cosmics = [Cosmic(side=self.side)] * _count(rng, self.cosmics)
        return combine([self._neutrino(rng), *(recipe(rng) for recipe in cosmics)])

    def _neutrino(self, rng: Rng) -> list[Primary]:
        position = _inside(rng, self.side)
        while True:
            drawn = [*self._lepton(rng), *self._hadrons(rng)]
            if any(pdg != NEUTRON for pdg, _ in drawn):
                break
        primaries = [
            Primary(0, _signed(rng, pdg), energy, position, _isotropic(rng))
            for pdg, energy in drawn
        ]
        return [replace(p, neutrino=_flavour(primaries)) for p in primaries]

    def _lepton(self, rng: Rng) -> list[tuple[int, float]]:
        if rng.random() >= self.charged:
            return []
        least, most = map(math.log, self.energies)
        return [(int(rng.choice([ELECTRON, MUON])), math.exp(rng.uniform(least, most)))]

    def _hadrons(self, rng: Rng) -> list[tuple[int, float]]:
        return [(kind.pdg, float(e)) for kind in self.hadrons for e in kind.energies(rng)]


@dataclass(frozen=True)
class Mixed:
    """The training sample: vertices and rain, and more of what those leave rare.

    vertices, rain: weights of 0, 1, 2 .. interactions of the kind in one image.
    stopping_muon, cosmic, kaon, pi0: chance of one more such interaction in an image.
    """

    vertices: tuple[float, ...] = (0.15, 0.65, 0.2)
    rain: tuple[float, ...] = (0.3, 0.3, 0.2, 0.1, 0.1)
    stopping_muon: float = 0.6
    cosmic: float = 0.15
    kaon: float = 0.1
    pi0: float = 0.15
    side: float = SIDE

    def __call__(self, rng: Rng) -> list[Primary]:
        while True:
            parts = [recipe(rng) for recipe in self._recipes(rng)]
            if parts:
                return combine(parts)

    def _recipes(self, rng: Rng) -> list[Recipe]:
        rare: list[tuple[float, Recipe]] = [
            (self.stopping_muon, StoppingMuon(side=self.side)),
            (self.cosmic, Cosmic(side=self.side)),
            (self.kaon, Kaon(side=self.side)),
            (self.pi0, NeutralPion(side=self.side)),
        ]
        return [
            *[Vertex(side=self.side)] * _count(rng, self.vertices),
            *[Rain(side=self.side, count=(1, 1))] * _count(rng, self.rain),
            *[recipe for chance, recipe in rare if rng.random() < chance],
        ]


RECIPES: dict[str, Callable[..., Recipe]] = {
    "vertex": Vertex,
    "rain": Rain,
    "single": Single,
    "stopping_muon": StoppingMuon,
    "cosmic": Cosmic,
    "kaon": Kaon,
    "pi0": NeutralPion,
    "neutrino": Neutrino,
    "mixed": Mixed,
    "crowded": partial(Mixed, vertices=(0, 0, 0, 1, 1, 1), rain=(0,) * 8 + (1,) * 5),
}
"""Name -> recipe; all take `side`, and have a default for everything."""


def combine(parts: Iterable[list[Primary]]) -> list[Primary]:
    """Put events on top of each other; interactions are numbered through."""
    primaries: list[Primary] = []
    first = 0
    for part in parts:
        primaries += [p.of_interaction(first + p.interaction) for p in part]
        first = 1 + max((p.interaction for p in primaries), default=-1)
    return primaries


def _flavour(primaries: Iterable[Primary]) -> int:
    """PDG code of the neutrino of a lepton; one without a lepton is called νμ."""
    leptons = (p.pdg for p in primaries if abs(p.pdg) in (ELECTRON, MUON))
    return next((pdg + int(math.copysign(1, pdg)) for pdg in leptons), 14)


def _particles_of_vertex(rng: Rng) -> list[int]:
    while True:
        pions, neutrals, protons = (int(rng.integers(0, most + 1)) for most in (2, 2, 5))
        if 1 <= pions + neutrals + protons <= 5:
            break
    lepton = rng.choice([ELECTRON, MUON])
    neutral = rng.choice([PHOTON, PION0], neutrals)
    codes = [lepton, *[PION] * pions, *neutral, *[PROTON] * protons]
    return [_signed(rng, int(pdg)) for pdg in codes]


def _signed(rng: Rng, pdg: int) -> int:
    return -pdg if pdg in (MUON, PION, ELECTRON) and rng.random() < 0.5 else pdg


def _inside(rng: Rng, side: float) -> Vector:
    return _vector(rng.uniform(-side / 2, side / 2, 3))


def _isotropic(rng: Rng) -> Vector:
    cosine, azimuth = rng.uniform(-1, 1), rng.uniform(0, 2 * math.pi)
    sine = math.sqrt(1 - cosine**2)
    return sine * math.cos(azimuth), sine * math.sin(azimuth), cosine


def _inwards(position: Vector, direction: Vector) -> Vector:
    outwards = sum(x * d for x, d in zip(position, direction, strict=True)) > 0
    x, y, z = direction
    return (-x, -y, -z) if outwards else direction


def _choose(rng: Rng, weights: Mapping[int, float]) -> int:
    codes, values = list(weights), np.array(list(weights.values()), float)
    return codes[int(rng.choice(len(codes), p=values / values.sum()))]


def _count(rng: Rng, weights: tuple[float, ...]) -> int:
    values = np.array(weights, float)
    return int(rng.choice(len(values), p=values / values.sum()))


def _vector(values: Iterable[float]) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _check_energies(*ranges: Energies) -> None:
    for low, high in ranges:
        if not 0 < low <= high:
            raise ConfigError(f"an energy range must be 0 < least <= most, not {low}..{high} MeV")
