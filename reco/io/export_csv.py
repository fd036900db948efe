"""Tables as text, a file each."""

import csv
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from reco.data.product import EVENTS
from reco.data.ragged import Array
from reco.errors import RecoError
from reco.io.export import FolderWriter
from reco.io.tables import Batch, is_text, scalars, text

ENTRY = "entry"


class CsvTables(FolderWriter):
    """`particles.csv` and so on; the column `entry` says which event a row belongs to.

    An array such as `pid_scores` becomes the columns `pid_scores_0`, `pid_scores_1`, ... Numbers
    are written with as many digits as tell them apart.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        super().__init__(path, facts)
        self._open = ExitStack()
        self._writers: dict[str, Any] = {}

    def write(self, batch: Batch) -> None:
        try:
            for name, rows in batch.tables.items():
                columns = scalars(rows.columns)
                if name != EVENTS:
                    columns = {ENTRY: np.repeat(batch.entry, rows.counts), **columns}
                writer = self._writer(name, columns)
                writer.writerows(zip(*(_words(v) for v in columns.values()), strict=True))
        except OSError as error:
            raise RecoError(f"{self.path}: writing failed ({error.strerror})") from None

    def _writer(self, name: str, columns: Iterable[str]) -> Any:
        if name not in self._writers:
            path = self.temporary / f"{name}.csv"
            file = self._open.enter_context(path.open("w", newline="", encoding="utf-8"))
            self._writers[name] = csv.writer(file, lineterminator="\n")
            self._writers[name].writerow(columns)
        return self._writers[name]

    def close(self) -> None:
        self._open.close()


def _words(values: Array) -> list[str]:
    return (text(values) if is_text(values) else values.astype(str)).tolist()
