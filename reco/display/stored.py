"""The scenes of an output file."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from reco.data.ragged import Array
from reco.detector import Detector
from reco.display.scene import Scene, scene_of
from reco.errors import FormatError, InputError
from reco.io.store import StoredProducts


class StoredScenes:
    """An output of `reco run`, event by event. Raises FormatError where it is none."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stored = StoredProducts(path, partial=True)
        if not any("voxels" in tables for tables in map(_tables, self._stored.products)):
            self._stored.close()
            raise FormatError(f"{path}: holds no voxels; `reco run` makes them from hits")
        self._boxes = boxes_of_provenance(self._stored.provenance)

    def __len__(self) -> int:
        """Number of events."""
        return len(self._stored)

    def __getitem__(self, event: int) -> Scene:
        """The scene of an event, by its position in the file. Raises InputError without it."""
        if not 0 <= event < len(self):
            last = f" (0 to {len(self) - 1})" if len(self) else ""
            raise InputError(f"{self.path}: no event {event}; the file has {len(self)}{last}")
        return scene_of(self._stored.read(event, event + 1), self._boxes)

    def close(self) -> None:
        self._stored.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def boxes_of(detector: Detector) -> Array:
    """(V, 2, 3) corners of the volumes, cm."""
    return np.array([(v.lower, v.upper) for v in detector.volumes])


def boxes_of_provenance(provenance: Mapping[str, Any]) -> Array:
    """The same from what an output tells of its detector; none where it does not."""
    volumes = provenance.get("detector", {}).get("volumes", ())
    return np.array([(v["lower"], v["upper"]) for v in volumes]).reshape(-1, 2, 3)


def _tables(product: Any) -> set[str]:
    return {column.table for column in product.columns().values()}
