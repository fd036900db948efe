import http.client
import json
import socket
from threading import Thread

import pytest

from reco.display.server import Server
from reco.errors import RecoError
from reco.output import Output

pytest.importorskip("plotly")


@pytest.fixture(scope="module")
def server(output):
    with Output(output) as events, Server(events, 0) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def get(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def test_every_event_has_a_page(server):
    for number in range(3):
        answer, body = get(server, f"/event/{number}")
        assert answer.status == 200
        assert answer.getheader("Content-Type").startswith("text/html")
        data = body.split('id="data">')[1].split("</script>")[0]
        assert json.loads(data)["place"] == {"number": number, "count": 3}
    assert "failed: segment: no memory" in body


def test_the_front_page_is_the_first_event(server):
    answer, _ = get(server, "/")
    assert (answer.status, answer.getheader("Location")) == (302, "/event/0")


def test_plotly_is_served_once_for_all(server):
    answer, body = get(server, "/plotly.js")
    assert answer.getheader("Cache-Control") == "max-age=86400"
    assert "Plotly" in body


@pytest.mark.parametrize(
    "path",
    ["/event/3", "/event/-1", "/event/x", "/event/", "/out.h5", "/../out.h5", "//etc/passwd"],
)
def test_nothing_else_is_served(server, path):
    answer, body = get(server, path)
    assert answer.status == 404
    assert len(body) < 300


def test_only_for_reading(server):
    assert get(server, "/event/0", "POST")[0].status == 501


def test_only_under_its_own_name(server):
    assert get(server, "/event/0", Host="example.org")[0].status == 403
    assert get(server, "/event/0", Host=f"localhost:{server.server_port}")[0].status == 200


def test_only_from_this_machine(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_told(output):
    with Output(output) as events, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RecoError, match=rf"port {port} cannot be used .* --port 0"):
            Server(events, port)
