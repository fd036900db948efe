"""Inputs from a server that fails now and then."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from reco import config as configuration
from reco.batch import engine, staging
from reco.batch.merge import merge
from reco.batch.run import Request, carry_out
from reco.errors import FormatError, RecoError
from reco.io.store import StoredProducts
from tests.batch.conftest import columns, in_one_process, same_bits
from tests.io.test_remote import Parts

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Moody(Parts):
    """Refuses the first request for a whole file, breaks off in the middle of the second, and takes
    its time for all others. A file of the name `changes` is another one afterwards."""

    whole: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if self.headers.get("Range") is None:
            self.whole.append(self.path)
            if len(self.whole) == 1:
                self.send_error(503)
                return
            if len(self.whole) == 2:
                self.break_off()
                return
        time.sleep(0.2)
        super().do_GET()
        if self.path == "/changes.h5":
            os.utime(self.translate_path(self.path), (1, 1))

    def break_off(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(staging, "PAUSES", (0.1, 0.1, 0.1))
    Moody.whole.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Moody, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def copied(url: str) -> Path:
    return staging.here(url, staging.identity_of(url))


def test_a_remote_input_is_copied_here_and_tried_again(chain, inputs, tmp_path, server):
    url = f"{server}/{inputs[0].name}"
    request = Request(configuration.load(chain), [url], tmp_path / "out", size=4)
    book = carry_out(request, partial(engine.here, tries=1), lambda *_: None)
    assert Moody.whole == ["/a.h5"] * 3
    assert not book.aside
    merge(tmp_path / "out", tmp_path / "m.h5")
    wanted = in_one_process(chain, inputs[:1], tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)
    with StoredProducts(tmp_path / "m.h5") as stored:
        assert stored.provenance["input"]["path"] == url


def test_one_copy_is_kept_and_then_removed(inputs, server):
    first = copied(f"{server}/a.h5")
    assert first.read_bytes() == inputs[0].read_bytes()
    assert copied(f"{server}/a.h5") == first
    second = copied(f"{server}/b.h5")
    assert second.read_bytes() == inputs[1].read_bytes()
    gc.collect()  # the error of the first try knows who asked
    assert not first.exists()


@pytest.mark.parametrize("content", [b"of another size", bytes(100)])
def test_a_file_that_changed_is_copied_again(tmp_path, server, content):
    """As a worker must that outlives a submission; where the size is the same, the time tells."""
    file, url = tmp_path / "c.h5", f"{server}/c.h5"
    file.write_bytes(b"x" * 100)
    os.utime(file, (1, 1))
    old = staging.identity_of(url)
    assert staging.here(url, old).read_bytes() == b"x" * 100
    file.write_bytes(content)
    assert copied(url).read_bytes() == content
    with pytest.raises(RecoError, match=r"c\.h5: has changed since it was submitted"):
        staging.here(url, old)


def test_a_file_that_changes_while_it_is_copied_is_refused(tmp_path, server):
    (tmp_path / "changes.h5").write_bytes(bytes(100))
    with pytest.raises(RecoError, match="has changed since it was submitted"):
        copied(f"{server}/changes.h5")


def test_a_file_that_is_not_there(server):
    with pytest.raises(FormatError, match=r"none\.h5: cannot be reached"):
        staging.here(f"{server}/none.h5", "")


def test_local_files_stay_where_they_are():
    assert staging.here("/data/a.h5", "") == Path("/data/a.h5")
