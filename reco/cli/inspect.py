"""`reco inspect`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py

from reco import config as configuration
from reco.cli import scale
from reco.data.product import EVENTS
from reco.detector import Detector
from reco.errors import FormatError
from reco.io.base import Reader, guard
from reco.io.hdf5 import open_hdf5
from reco.io.inspect import inspect_lines
from reco.io.native import NativeReader
from reco.io.recognise import open_input
from reco.io.store import StoredProducts, is_product_file


def inspect_file(file: str, pipeline: str | None, overrides: Sequence[str]) -> list[str]:
    """What a file is, line by line. Raises FormatError where it is of no known format."""
    if _is_output(file):
        return _output_lines(file)
    load, of_overrides = configuration.load, configuration.of_overrides
    config = load(pipeline, overrides) if pipeline else of_overrides(overrides)
    with open_input(file, config.input) as reader:
        description = reader.describe()
        notes = (*description.notes, *_notes(reader, Detector.load(config.detector)))
        lines = inspect_lines(replace(description, notes=notes))
        if isinstance(reader, NativeReader):
            lines += _recipe_lines(file, reader.store.provenance.get("simulated"))
    return lines


def _notes(reader: Reader, detector: Detector) -> list[str]:
    """What is odd in the first events."""
    try:
        return scale.of_input(reader, detector)
    except FormatError as error:
        return [str(error)]


def _recipe_lines(file: str, plan: Mapping[str, Any] | None) -> list[str]:
    """How a simulation was made, and the command that makes it again."""
    if plan is None:
        return []
    made = f"{plan['recipe']}, seed {plan['seed']}, from event {plan['first']}"
    return [f"simulated {made}; again: reco simulate --like {file}"]


def _is_output(file: str) -> bool:
    """Of a run, and not of a simulation, which is an input like any other."""
    if not Path(file).is_file() or not h5py.is_hdf5(file):
        return False
    try:
        with open_hdf5(file) as handle, guard(file, "attributes"):
            return is_product_file(handle) and "hits" not in handle
    except FormatError:
        return False  # opening it as an input says what is wrong


def _output_lines(file: str) -> list[str]:
    with (
        StoredProducts(file) as stored,
        open_hdf5(file) as handle,
        guard(file, "output of reco"),
    ):
        facts, n_events = stored.provenance, len(stored)
        tables = [f"{name} ({_rows(handle[name])} rows)" for name in handle if name != EVENTS]
    return [
        f"file      {file}",
        "format    output of reco",
        f"events    {n_events}",
        f"tables    {', '.join(tables)}",
        f"stages    {', '.join(facts.get('stages', ())) or 'unknown'}",
        f"input     {facts.get('input', {}).get('path', 'unknown')}",
        f"made      {facts.get('created', 'unknown')} by reco {_version(facts)}",
    ]


def _rows(group: h5py.Group) -> int:
    return int(group["offsets"][-1])


def _version(facts: dict[str, Any]) -> str:
    return str(facts.get("versions", {}).get("reco", "of unknown version"))
