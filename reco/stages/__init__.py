"""The stages: typed products in, one new product out.

This module knows where each stage lives, and imports one only when a pipeline names it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from reco.errors import ConfigError
from reco.suggest import unknown

if TYPE_CHECKING:
    from reco.stages.base import Stage

STAGES = (
    "voxelize",
    "truth_voxels",
    "labels",
    "segment",
    "points",
    "fragments",
    "particles",
    "kinematics",
    "interactions",
    "estimates",
    "physics",
    "matches",
)
"""Names of the stages that come with the package, each in the module of its name."""


def check_name(name: str) -> None:
    """Raises ConfigError unless name is a stage of the package or of the form `module:Class`."""
    if name in STAGES or ":" in name:
        return
    known = (*STAGES, "module:Class for one of your own")
    raise ConfigError(unknown(f"stages.{name}: no such stage", name, known, "there are"))


def find(name: str) -> "type[Stage]":
    """Import a stage: a name of STAGES, or `module:Class`. Raises ConfigError."""
    check_name(name)
    return _external(name) if ":" in name else _own(name)


def _own(name: str) -> "type[Stage]":
    from reco.stages.base import Stage

    for member in vars(import_module(f"reco.stages.{name}")).values():
        is_stage = isinstance(member, type) and issubclass(member, Stage)
        if is_stage and vars(member).get("name") == name:
            return cast("type[Stage]", member)
    raise ConfigError(f"stages.{name}: module reco.stages.{name} defines no stage of this name")


def _external(path: str) -> "type[Stage]":
    from reco.stages.base import Stage

    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # foreign code: nothing narrower holds for it
        hint = "" if "." in module else "; put the folder of its file on PYTHONPATH"
        raise ConfigError(f"stages.{path}: cannot be imported ({error}){hint}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise ConfigError(f"stages.{path}: not a subclass of reco.stages.base.Stage")
    return found
