"""`reco simulate`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reco import config as configuration
from reco.cli.console import progress
from reco.cli.files import check_free
from reco.detector import Detector
from reco.errors import ConfigError, FormatError
from reco.io.store import StoredProducts
from reco.schema import validate
from reco.simulate.generate import Plan, generate
from reco.simulate.response import PERFECT, Response
from reco.suggest import unknown

EFFECTS = {
    "recombination": ("model",),
    "lifetime": ("lifetime",),
    "diffusion": ("diffusion_longitudinal", "diffusion_transverse"),
    "noise": ("noise",),
    "threshold": ("threshold",),
}
"""What can be turned off -> the constants of the response that do it."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; see `reco simulate --help`."""

    recipe: str
    events: int
    first: int
    seed: int
    detector: str
    off: tuple[str, ...]
    spread: float
    like: Path | None = None
    changes: tuple[str, ...] = ()


def simulate_file(request: Request, output: Path, jobs: int, overwrite: bool) -> None:
    """Simulate into a file. Raises RecoError."""
    check_free(output, overwrite)
    plan = plan_of(request)
    with progress("simulate") as report:
        done = 0
        report(done, plan.events)

        def count(events: int) -> None:
            nonlocal done
            done += events
            report(done, plan.events)

        generate(plan, output, jobs=jobs, progress=count)
    print(f"{plan.events} events written to {output}")


def plan_of(request: Request) -> Plan:
    """The plan of `like`, or of the other options, with the changes. Raises ConfigError."""
    tree = _asked(request) if request.like is None else _stored(request.like)
    for change in request.changes:
        configuration.assign(tree, change)
    return validate(Plan, tree, "--set")


def _asked(request: Request) -> dict[str, Any]:
    plan = Plan(
        recipe=request.recipe,
        events=request.events,
        first=request.first,
        seed=request.seed,
        detector=request.detector,
        response=response_without(Detector.load(request.detector), request.off),
        spread=request.spread,
    )
    return asdict(plan)


def _stored(path: Path) -> dict[str, Any]:
    with StoredProducts(path) as stored:
        plan = stored.provenance.get("simulated")
    if not isinstance(plan, dict):
        raise FormatError(f"{path}: does not say how it was simulated; `reco simulate` writes it")
    return plan


def response_without(detector: Detector, effects: Sequence[str]) -> Response:
    """The response of a detector without these effects. Raises ConfigError for others."""
    response = Response.of(detector)
    for effect in effects:
        if effect not in EFFECTS:
            raise ConfigError(unknown(f"--off {effect}: no such effect", effect, EFFECTS))
        perfect = {name: getattr(PERFECT, name) for name in EFFECTS[effect]}
        response = replace(response, **perfect)
    return response
