"""Where tables are written to by `reco convert`."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reco.io.tables import Batch
from reco.io.whole import PROVENANCE, Whole


class TableWriter(Whole):
    """Appends batches to a new file or folder.

    left_out: fields that the format cannot hold, as table.column, known after the first batch.
    """

    left_out: tuple[str, ...] = ()

    @abstractmethod
    def write(self, batch: Batch) -> None: ...


class FolderWriter(TableWriter):
    """A folder with a file or folder per table."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        super().__init__(path)
        try:
            self.temporary.mkdir()
            (self.temporary / PROVENANCE).write_text(json.dumps(facts, indent=1, default=str))
        except OSError as error:
            raise self.refused(error) from None
