"""The command line: `reco run`, `inspect`, `convert`, `evaluate`, `simulate`, `train`.

Exit codes: 0 all is well, 1 the user can mend it (one message, no traceback), 2 wrong use of the
command line, 3 the run is complete and some events failed, 130 interrupted.
"""

import sys

from reco.cli.app import app
from reco.cli.console import fail
from reco.errors import RecoError

EXTRAS = {
    "geant4_pybind": "sim",
    "pyhepmc": "sim",
    "lightning_fabric": "train",
    "tensorboard": "train",
    "dask": "batch",
    "distributed": "batch",
    "dask_jobqueue": "batch",
    "cryptography": "batch",
}
"""Packages that only some commands need -> the extra of this package that brings them."""


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="reco")
    except RecoError as error:
        fail(str(error))
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        fail(
            f"{error.name} is not installed; this command needs: pip install 'lartpc-reco[{extra}]'"
        )
        sys.exit(1)
    except SystemExit as left:
        stopped = left.__context__ and left.__context__.__cause__  # typer takes Ctrl-C for itself
        if not isinstance(stopped, KeyboardInterrupt):
            raise
        fail(f"interrupted; {str(stopped) or 'no output was written'}")
        sys.exit(130)
