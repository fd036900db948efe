"""One event by hand: a muon and a proton from one vertex, a Michel electron, a stray deposit."""

import numpy as np

from reco.data.product import Product
from reco.data.products import (
    Estimates,
    Fragments,
    Header,
    Interactions,
    Kinematics,
    Matches,
    Outcome,
    Particles,
    Physics,
    Points,
    Semantics,
    TruthInteractions,
    TruthParticles,
    TruthVoxels,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Ragged

BOXES = np.array([[[-10.0, -10, -10], [0, 10, 10]], [[0, -10, -10], [10, 10, 10]]])
N_MUON, N_PROTON, N_MICHEL = 20, 8, 5
SIZES = (N_MUON, N_PROTON, N_MICHEL, 1)
N = sum(SIZES)
POSITION = np.concatenate(
    [
        np.linspace([0, 0, 0], [9, 0, 0], N_MUON),
        np.linspace([0, 0.3, 0], [0, 3, 0], N_PROTON),
        np.linspace([9, 0.3, 0], [9, 2, 0], N_MICHEL),
        [[-8.0, -8, -8]],
    ]
).astype(np.float32)
PARTICLE = np.repeat([0, 1, 2, 3], SIZES)  # of the truth
FOUND = np.repeat([2, 0, 1, 3], SIZES)  # the same ones, numbered otherwise
SEMANTIC = np.repeat([1, 1, 2, 4], SIZES)
INTERACTION = np.repeat([0, 0, 0, 1], SIZES)
ENERGY = np.linspace(0.2, 3, N, dtype=np.float32)
INDEX = np.arange(3 * N).reshape(N, 3)

one = Ragged.one


def header(status: int = 0, message: bytes = b"") -> list[Product]:
    number = np.array([7])
    return [Header(number, number, number, number), Outcome([status], [message])]


def voxels() -> list[Product]:
    return [Voxels(one(INDEX), one(POSITION), one(ENERGY), np.array([N]), np.array([0]))]


def truth() -> list[Product]:
    """Particles, interactions, and the labels of the reconstructed voxels."""
    start = POSITION[[0, 20, 28, 33]]
    along = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    rows = np.arange(4.0)
    particles = TruthParticles(
        pid=one(np.array([2, 4, 1, -1])),
        pdg=one(np.array([13, 2212, 11, 2112])),
        semantic=one(np.array([1, 1, 2, 4])),
        interaction=one(np.array([0, 0, 0, 1])),
        parent=one(np.array([-1, -1, 0, -1])),
        is_primary=one(np.array([True, True, False, True])),
        start=one(start),
        end=one(start + along),
        direction=one(along),
        energy=one(np.array([231.4, 80.0, 30.0, 2.0])),
        energy_deposit=one(rows),
        length=one(rows),
        time=one(rows),
        contained=one(rows > 0),
    )
    interactions = TruthInteractions(
        one(POSITION[[0, 33]]),
        one(np.array([311.4, 2.0])),
        one(np.array([14, 0])),
        one(np.array([2, 1])),
        one(np.array([b"1mu1p", b""])),
        one(np.array([True, False])),
    )
    return [particles, interactions, labels()]


def labels() -> Product:
    return VoxelLabels(one(SEMANTIC), one(PARTICLE), one(PARTICLE), one(INTERACTION))


def truth_voxels() -> list[Product]:
    """True deposits that are not where the reconstructed ones are."""
    where = POSITION + np.float32(0.3)
    labelled = (one(x) for x in (SEMANTIC, PARTICLE, PARTICLE, INTERACTION))
    return [TruthVoxels(one(INDEX), one(where), one(ENERGY), *labelled)]


def segmented() -> list[Product]:
    scores = np.eye(5)[SEMANTIC]
    none = np.zeros(N)
    semantics = Semantics(
        one(scores),
        one(SEMANTIC),
        one(np.zeros((N, 0))),
        one(none),
        one(np.zeros((N, 3))),
        one(none),
        one(np.zeros((N, 13))),
    )
    points = Points(one(POSITION[[0, 19]]), one(np.array([1, 1])), one(np.array([0.9, 0.8])))
    return [semantics, points]


def fragmented() -> list[Product]:
    sizes = np.bincount(FOUND)
    return [Fragments(one(FOUND), one(np.array([1, 2, 1, 4])), one(sizes))]


def particles() -> list[Product]:
    rows = np.arange(4)
    start = POSITION[[20, 28, 0, 33]]
    along = np.array([[0.0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    numbers = one(np.array([1.0, 2.5, np.nan, 1234.5]))
    return [
        Particles(
            one(FOUND),
            one(rows),
            one(rows * 0.0),
            one(rows),
            one(np.array([1, 2, 1, 4])),
            one(np.bincount(FOUND)),
        ),
        Kinematics(
            one(start),
            one(start + along),
            one(along),
            numbers,
            numbers,
            numbers,
            numbers,
            one(np.zeros((4, 4))),
            one(rows > 1),
        ),
    ]


def interactions() -> list[Product]:
    rows = np.arange(4)
    covariance = np.stack([np.diag([0.04, 0.01, 0.09]), np.eye(3)])
    return [
        Interactions(
            one(INTERACTION),
            one(np.array([0, 0, 0, 1])),
            one(np.array([4, 1, 2, 4])),
            one(np.full((4, 6), 1 / 6)),
            one(rows > 1),
            one(rows / 4),
            one(np.arange(2)),
            one(np.array([3, 1])),
        ),
        Estimates(
            one(np.array([81.0, 29.0, 230.0, 2.0])),
            one(np.array([4.0, 5.0, 12.0, 1.0])),
            one(POSITION[[0, 33]] + 0.1),
            one(covariance),
            one(np.array([311.0, 2.0])),
            one(np.array([13.0, 1.0])),
            *map(one, (np.ones(4), np.ones(2), np.ones(2))),
        ),
        Physics(
            one(np.array([80.0, np.nan, 231.0, np.nan])),
            one(np.array([b"1mu1p", b"1p"])),
            one(np.array([True, True])),
        ),
    ]


def matches() -> list[Product]:
    found, true = one(np.array([1, 2, 0, -1])), one(np.array([2, 0, 1, -1]))
    full = one(np.ones(4))
    both, two = one(np.arange(2)), one(np.ones(2))
    return [Matches(found, full, true, full, both, two, both, two)]


CHAIN = (header, voxels, segmented, fragmented, particles, interactions)
"""The products in the order of the stages."""


def data(stages: int = len(CHAIN)) -> list[Product]:
    """Products without truth, of the first so many."""
    return [product for make in CHAIN[:stages] for product in make()]


def emptied(products: list[Product]) -> list[Product]:
    """The same products without a row."""
    keep = (Header, Outcome)
    return [p if isinstance(p, keep) else type(p).empty() for p in products]


def first_voxels(products: list[Product], n: int) -> list[Product]:
    """Only the first n voxels of every column of voxels; the other tables as they are."""
    return [_cut(product, n) for product in products]


def _cut(product: Product, n: int) -> Product:
    changed = {}
    for field, rows in product.items():
        of_voxels = product.columns()[field.name].table.endswith("voxels")
        changed[field.name] = one(rows[0][:n]) if of_voxels else rows
    return type(product)(**changed)
