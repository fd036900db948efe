"""The engines behind `conv`: what each takes, what it needs, and how to get it.

An engine is imported when it is first used, so that none costs anything where it is not.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from reco.errors import InputError
from reco.sparse.maps import KernelMap

Function = Callable[[torch.Tensor, torch.Tensor, KernelMap], torch.Tensor]


@dataclass(frozen=True)
class Backend:
    """An engine. needs: the module it stands on, "" for none; install: how to get that.

    dtypes: of features; devices: their types. Both empty: any.
    """

    load: Callable[[], Function]
    what: str
    needs: str = ""
    install: str = ""
    dtypes: tuple[torch.dtype, ...] = ()
    devices: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether what it needs can be imported; not whether there is a device for it."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    def takes(self, features: torch.Tensor) -> bool:
        """Whether dtype and device of the features are among those it can work on."""
        return (not self.dtypes or features.dtype in self.dtypes) and (
            not self.devices or features.device.type in self.devices
        )


def _reference() -> Function:
    from reco.sparse.reference import ReferenceConv

    return ReferenceConv.apply


def _cpu() -> Function:
    from reco.sparse.cpu import CpuConv

    return CpuConv.apply


def _gpu() -> Function:
    from reco.sparse.gpu import GpuConv, on_interpreter

    def conv(x: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        if x.device.type == "cpu" and not on_interpreter():
            raise InputError(
                "features: on cpu; backend 'gpu' takes a CUDA device, or the CPU where "
                "TRITON_INTERPRET=1 is set before reco is imported"
            )
        return GpuConv.apply(x, weight, kernel_map)  # type: ignore[no-untyped-call]

    return conv


def _minkowski() -> Function:
    from reco.sparse.minkowski import conv

    return conv


def _spconv() -> Function:
    from reco.sparse.spconv import SpconvConv

    return SpconvConv.apply


_HALF = (torch.float32, torch.float16, torch.bfloat16)

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "reference": Backend(_reference, "plain torch"),
        "cpu": Backend(_cpu, "numba", dtypes=(torch.float32,), devices=("cpu",)),
        "gpu": Backend(
            _gpu, "Triton", "triton", "pip install 'lartpc-reco[gpu]'", _HALF, ("cuda", "cpu")
        ),
        "minkowski": Backend(
            _minkowski,
            "MinkowskiEngine",
            "MinkowskiEngine",
            "build it from source: docs/engines.md",
            (torch.float32, torch.float64),
            ("cpu",),
        ),
        "spconv": Backend(
            _spconv,
            "spconv, forward only",
            "spconv",
            "pip install 'lartpc-reco[spconv]'",
            (torch.float32,),
            ("cpu",),
        ),
    }
)


def engine(name: str) -> Backend:
    """Raises InputError for an unknown name, and for an engine that is not installed."""
    if name not in BACKENDS:
        raise InputError(f"backend: {name!r}, expected 'auto' or one of {sorted(BACKENDS)}")
    backend = BACKENDS[name]
    if not backend.installed:
        raise InputError(f"backend: {name!r} needs {backend.needs}: {backend.install}")
    return backend


def choose(name: str, features: torch.Tensor) -> Function:
    """The engine of that name; "auto": the fastest of our own for dtype and device.

    Raises InputError as `engine`, and for features that it cannot take.
    """
    if name == "auto":
        name = _fastest(features)
    backend = engine(name)
    if not backend.takes(features):
        dtypes = ", ".join(map(str, backend.dtypes))
        raise InputError(
            f"features: {features.dtype} on {features.device}; backend {name!r} takes {dtypes} "
            f"on {' or '.join(backend.devices)}, backend 'reference' takes the rest"
        )
    return backend.load()


def _fastest(features: torch.Tensor) -> str:
    own = "cpu" if features.device.type == "cpu" else "gpu"
    return own if BACKENDS[own].installed and BACKENDS[own].takes(features) else "reference"
