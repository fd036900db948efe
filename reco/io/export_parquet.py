"""Tables as Parquet, a dataset each, through pyarrow (an optional package)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reco.data.product import EVENTS
from reco.data.ragged import Array
from reco.errors import RecoError
from reco.io.export import FolderWriter
from reco.io.export_csv import ENTRY
from reco.io.tables import Batch, is_text, text

EVENTS_PER_PART = 4096


class ParquetTables(FolderWriter):
    """`particles/part-00000.parquet` and so on, a part for every 4096 events.

    The column `entry` says which event a row belongs to. Arrays are lists of fixed size; unit and
    meaning of a column are its metadata. Raises RecoError where pyarrow is not installed.
    """

    def __init__(
        self, path: Path, facts: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]]
    ) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise RecoError(
                f"{path}: Parquet needs pyarrow: pip install 'lartpc-reco[parquet]'"
            ) from None
        super().__init__(path, facts)
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        self._facts, self._about = facts, about
        self._writers: dict[str, Any] = {}
        self._events = self._part = 0

    def write(self, batch: Batch) -> None:
        try:
            if self._events >= EVENTS_PER_PART:
                self.close()
                self._events, self._part = 0, self._part + 1
            for name, rows in batch.tables.items():
                columns = dict(rows.columns)
                if name != EVENTS:
                    columns = {ENTRY: np.repeat(batch.entry, rows.counts), **columns}
                table = self._table(name, columns)
                self._writer(name, table.schema).write_table(table)
            self._events += len(batch.entry)
        except OSError as error:
            raise RecoError(f"{self.path}: writing failed ({error})") from None

    def _writer(self, name: str, schema: Any) -> Any:
        if name not in self._writers:
            folder = self.temporary / name
            folder.mkdir(exist_ok=True)
            path = folder / f"part-{self._part:05d}.parquet"
            self._writers[name] = self._parquet.ParquetWriter(path, schema, compression="zstd")
        return self._writers[name]

    def _table(self, name: str, columns: Mapping[str, Array]) -> Any:
        arrays, fields = [], []
        for column, values in columns.items():
            array = self._array(values)
            unit, doc = self._about.get(name, {}).get(column, ("", "row of events"))
            fields.append(
                self._arrow.field(column, array.type, metadata={"unit": unit, "doc": doc})
            )
            arrays.append(array)
        facts = {"provenance": json.dumps(self._facts, default=str)}
        return self._arrow.Table.from_arrays(
            arrays, schema=self._arrow.schema(fields, metadata=facts)
        )

    def _array(self, values: Array) -> Any:
        if is_text(values):
            return self._arrow.array(text(values).tolist(), self._arrow.string())
        if values.dtype == np.float16:  # few readers of Parquet know it
            values = values.astype(np.float32)
        array = self._arrow.array(values.reshape(-1))
        for size in reversed(values.shape[1:]):
            array = self._arrow.FixedSizeListArray.from_arrays(array, size)
        return array

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
