"""`reco view`."""

from pathlib import Path

from reco.cli.files import check_free
from reco.display.server import Server
from reco.output import Output


def view_event(file: Path, event: int, output: Path | None, overwrite: bool) -> Path:
    """Write the page of one event; its path. Raises RecoError."""
    path = output or Path(f"{file.stem}_event{event}.html")
    with Output(file) as events:
        check_free(path, overwrite)
        events[event].show().write(path)
    return path


def browse_file(file: Path, port: int, event: int) -> None:
    """Serve the pages of all events to this machine until Ctrl-C. Raises RecoError."""
    with Output(file) as events:
        _ = events[event].scene  # a wrong number is told here, not in the browser
        with Server(events, port) as server:
            try:
                print(f"{len(events)} events at {server.url_of(event)} (Ctrl-C ends)", flush=True)
                server.serve_forever()
            except KeyboardInterrupt:
                print("ended")
