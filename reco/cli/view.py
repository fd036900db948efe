"""`reco view`."""

from pathlib import Path

from reco.cli.files import check_free
from reco.display.page import page_of
from reco.display.server import Server
from reco.display.stored import StoredScenes


def view_event(file: Path, event: int, output: Path | None, overwrite: bool) -> Path:
    """Write the page of one event; its path. Raises RecoError."""
    path = output or Path(f"{file.stem}_event{event}.html")
    with StoredScenes(file) as scenes:
        check_free(path, overwrite)
        page_of(scenes[event], file.name).write(path)
    return path


def browse_file(file: Path, port: int, event: int) -> None:
    """Serve the pages of all events to this machine until Ctrl-C. Raises RecoError."""
    with StoredScenes(file) as scenes:
        scenes[event]  # a wrong number is told here, not in the browser
        with Server(scenes, port) as server:
            print(f"{len(scenes)} events at {server.url_of(event)} (Ctrl-C ends)", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("ended")
