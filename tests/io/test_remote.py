"""Files over HTTP and XRootD, from servers on this machine."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reco.cli import main
from reco.cli.files import inputs
from reco.data.products import Header, Hits
from reco.errors import FormatError
from reco.io.recognise import open_input
from reco.io.remote import is_url, open_url
from reco.io.store import StoredProducts, Writer
from tests.io.files import COUNTS, jagged, same, write_groups, write_tree

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Whole(SimpleHTTPRequestHandler):
    """Serves whole files, whatever is asked for."""

    def log_message(self, *args: Any) -> None:
        pass


class Parts(Whole):
    """Serves `Range: bytes=first-last` as well."""

    def do_GET(self) -> None:
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range")
        if asked is None or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)
        return None


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Start a server of tmp_path; gives the URL it is at."""
    servers = []

    def start(handler: type[SimpleHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def files(folder: Path) -> list[Path]:
    """A file of each kind, with enough data that it takes several reads."""
    rng = np.random.default_rng(3)
    columns = {name: rng.uniform(0, 9, 200_000) for name in ("x", "y", "z", "energy")}
    columns["event"] = np.arange(200_000) // 50_000
    native = folder / "native.h5"
    with Writer(native, {}) as out:
        out.write([Header.empty(3), Hits.empty(3)])
    return [
        write_groups(folder / "flat.h5", columns),
        write_tree(folder / "flat.root", jagged(COUNTS)),
        native,
    ]


def test_the_same_as_on_disk(serve: Any, tmp_path: Path) -> None:
    url = serve(Parts)
    for path in files(tmp_path):
        with open_input(path) as near, open_input(f"{url}/{path.name}") as far:
            assert len(far) == len(near) > 0
            assert far.describe().path == f"{url}/{path.name}"
            assert far.describe().format == near.describe().format
            for start, stop in ((0, len(near)), (len(near) - 1, len(near)), (1, 2)):
                assert same(near.read(start, stop), far.read(start, stop))


@pytest.fixture
def xrootd() -> Iterator[tuple[Path, str]]:
    """A folder, and the URL under which an XRootD server has it."""
    pytest.importorskip("fsspec_xrootd")
    server = shutil.which("xrootd")
    if server is None:
        pytest.skip("no xrootd: it is in xrootd-server of Debian, or xrootd of conda-forge")
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    # not tmp_path: a server that root starts runs as nobody, who may not look into it
    with tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name).resolve(), Path(name, "xrootd.cfg")
        settings.write_text(
            f"xrd.port {port}\nall.export {folder} r/o\n"
            f"all.adminpath {folder}\nall.pidpath {folder}\n"
        )
        as_nobody = ["-R", "nobody"] if os.geteuid() == 0 else []
        if as_nobody:
            shutil.chown(folder, "nobody")
        words = [server, "-c", str(settings), *as_nobody]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=folder) as process:
            try:
                wait_for(port)
                yield folder, f"root://localhost:{port}/{folder}"
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.1)
    pytest.fail("the XRootD server does not answer")


def test_xrootd_gives_the_same_as_the_disk(xrootd: tuple[Path, str]) -> None:
    folder, url = xrootd
    for path in files(folder):
        path.chmod(0o644)
        with open_input(path) as near, open_input(f"{url}/{path.name}") as far:
            assert far.describe().path == f"{url}/{path.name}"
            assert same(near.read(0, len(near)), far.read(0, len(near)))
            assert same(near.read(1, 2), far.read(1, 2))
    with pytest.raises(FormatError, match=r"cannot be opened .*no such file"):
        open_input(f"{url}/none.root")


def test_a_run_over_a_url(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chain.yaml").write_text("stages:\n  tests.stages_for_tests:Grid: {}\n")
    url = f"{serve(Parts)}/{files(tmp_path)[1].name}"
    monkeypatch.setattr(sys, "argv", ["reco", "run", "chain.yaml", url])
    with pytest.raises(SystemExit) as left:
        main()
    assert (left.value.code or 0) == 0, capsys.readouterr().err
    with StoredProducts("flat_reco.h5") as stored:
        assert len(stored) == len(COUNTS)
        assert stored.provenance["input"]["path"] == url


def test_a_server_that_gives_whole_files_only(serve: Any, tmp_path: Path) -> None:
    path = files(tmp_path)[0]
    with pytest.raises(FormatError, match="does not give parts of a file"):
        open_input(f"{serve(Whole)}/{path.name}")


def test_not_there(serve: Any) -> None:
    url = f"{serve(Parts)}/none.root"
    with pytest.raises(FormatError, match="cannot be opened") as error:
        open_input(url)
    assert str(error.value).startswith(url)


def test_nothing_known(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>not found</html>" * 99)
    with pytest.raises(FormatError, match="neither ROOT nor HDF5"):
        open_input(f"{serve(Parts)}/page.html")


def test_a_protocol_without_its_package() -> None:
    pytest.importorskip("fsspec")
    try:
        import fsspec_xrootd  # noqa: F401

        pytest.skip("fsspec-xrootd is installed")
    except ImportError:
        pass
    with pytest.raises(FormatError, match="fsspec-xrootd"):
        open_url("root://host//data/a.root")
    with pytest.raises(FormatError, match="nonsense://"):
        open_url("nonsense://host/a.root")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("https://host/a.root", True),
        ("root://host//a.root", True),
        ("a.root", False),
        ("run:3.root", False),
        ("/data/http/a.h5", False),
    ],
)
def test_what_a_url_is(name: str, expected: bool) -> None:
    assert is_url(name) is expected
    assert not is_url(Path(name))


def test_urls_among_files_and_globs(tmp_path: Path) -> None:
    for name in ("b.h5", "a.h5"):
        (tmp_path / name).write_bytes(b"")
    url = "https://host/dir/c.h5?x=*"
    assert inputs([str(tmp_path / "*.h5"), url]) == [tmp_path / "a.h5", tmp_path / "b.h5", url]
