"""Event reconstruction for liquid-argon time-projection chambers.

    pipe = reco.load("pipelines/lartpc.yaml")
    for event in pipe.run("input.root"):
        print(event.particles.energy)
    f = reco.open("out.h5")

The names below load what they need when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads must sleep, and BLAS must not start its own: the threads of torch and numba
# would wait for a core that a spinning one holds. But not at once: from one layer of the network to
# the next it takes less time than to wake up. Read once, when numpy and torch are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


if TYPE_CHECKING:
    from reco.data.classes import PID, Semantic
    from reco.errors import RecoError
    from reco.event import Event, Interaction, Particle, partners
    from reco.output import Output, open
    from reco.pipeline import Pipeline, load

_HOME = {
    "Event": "reco.event",
    "Interaction": "reco.event",
    "Output": "reco.output",
    "PID": "reco.data.classes",
    "Particle": "reco.event",
    "Pipeline": "reco.pipeline",
    "RecoError": "reco.errors",
    "Semantic": "reco.data.classes",
    "load": "reco.pipeline",
    "open": "reco.output",
    "partners": "reco.event",
}

__all__ = [
    "PID",
    "Event",
    "Interaction",
    "Output",
    "Particle",
    "Pipeline",
    "RecoError",
    "Semantic",
    "load",
    "open",
    "partners",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'reco' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lartpc-reco")
    except PackageNotFoundError:  # a checkout on the path, not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
