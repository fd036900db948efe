"""Events, particles and interactions as a user of Python has them."""

import pickle
from html.parser import HTMLParser

import awkward as ak
import numpy as np
import pytest

import reco
from reco import PID, Semantic
from reco.data.bundle import Bundle
from reco.data.classes import Status
from reco.data.products import Estimates, Matches, Particles, Voxels
from reco.data.ragged import Ragged
from reco.errors import InputError
from reco.event import Event, Particle, TrueParticle
from reco.event.arrays import table
from reco.io.store import Writer
from tests.display import events

MUON, PROTON, MICHEL = 2, 0, 1
"""Rows of the particles of `tests.display.events`; those of the truth are 0, 1, 2, 3."""


def whole() -> Event:
    products = [*events.data(), *events.truth(), *events.truth_voxels(), *events.matches()]
    return Event(Bundle(tuple(products)), events.BOXES, "out.h5")


@pytest.fixture
def event():
    return whole()


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A file of three events: complete, without voxels, failed."""
    path = tmp_path_factory.mktemp("event") / "out.h5"
    full = tuple(whole().products)
    with Writer(path, {}) as out:
        out.write(full)
        out.write(events.emptied(full))
        out.write([*events.header(2), *events.emptied(full)[2:]])
    return path


class Reader(HTMLParser):
    """Checks that tags are closed in order; keeps text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.text, self.names = [], [], set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.names |= {tag, *(name for name, _ in attributes)}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_numbers_of_the_event(event):
    assert (event.run, event.subrun, event.event, event.entry) == (7, 7, 7, 7)
    assert (event.status, event.message) == (Status.OK, "")
    failed = Event(Bundle(tuple(events.header(2, "segment: no µ".encode()))))
    assert (failed.status, failed.message, failed.tables) == (Status.FAILED, "segment: no µ", [])
    assert "segment: no µ" in failed._repr_html_()


def test_selection_by_the_names_of_the_field(event):
    muons = event.particles[event.particles.pid == PID.MUON]
    assert muons.id.tolist() == [MUON]
    tracks = event.particles[event.particles.semantic == Semantic.TRACK]
    assert tracks.id.tolist() == [PROTON, MUON]
    assert [type(p).__mro__[1] for p in event.particles] == [Particle] * 4


def test_voxels_of_a_particle_and_of_several(event):
    muon = event.particles[MUON]
    assert ak.sum(muon.voxels.energy) == pytest.approx(events.ENERGY[events.PARTICLE == 0].sum())
    both = event.particles[[MUON, MICHEL]].voxels
    assert len(both) == events.N_MUON + events.N_MICHEL
    assert len(event.truth_particles[1].voxels) == events.N_PROTON
    assert len(event.particles[:0].voxels) == 0


def test_particles_of_an_interaction(event):
    first = event.interactions[0]
    assert first.particles.id.tolist() == [PROTON, MICHEL, MUON]
    assert len(first.voxels) == events.N - 1
    assert first.particles[0].event is event
    assert event.truth_interactions[1].particles.id.tolist() == [3]


def test_partners_both_ways(event):
    muon = event.particles[MUON]
    assert isinstance(muon.partner, TrueParticle)
    assert muon.partner.pdg == 13
    assert muon.partner.partner.id == MUON
    assert event.truth_particles.partner.id.tolist() == [MUON, PROTON, MICHEL, None]
    assert event.interactions[0].partner.id == 0


def test_without_a_partner_there_is_none():
    event = whole()
    event.products[Matches].particle.values[MUON] = -1
    assert event.particles[MUON].partner is None
    true = event.particles.partner
    assert true.energy.tolist()[MUON] is None
    assert ak.count(true.energy) == 2
    assert len(event.particles[event.particles.pid == PID.MUON].partner.voxels) == 0


def test_partners_over_the_events_of_a_file(output):
    with reco.open(output) as f:
        true = reco.partners(f.particles, f.truth_particles)
        assert true.id.tolist() == [[1, 2, 0, None], [], []]
        found = reco.partners(f.truth_particles, f.particles)
        assert found.id.tolist() == [[MUON, PROTON, MICHEL, None], [], []]


def test_what_an_event_does_not_have(event):
    bare = Event(Bundle(tuple(events.data())))
    with pytest.raises(InputError, match=r"no table 'truth_particles' \(it has: .*voxels"):
        _ = bare.particles[0].partner
    with pytest.raises(AttributeError, match="no table 'particle'; did you mean 'particles'"):
        _ = event.particle
    for some in (event.particles, event.particles[0], event.particles[:0]):
        with pytest.raises(AttributeError, match=r"'enrgy'; did you mean 'energy'.*they have: id"):
            _ = some.enrgy
    with pytest.raises(AttributeError, match=r"its tables have: such as \.\w+\.to_pandas\(\)"):
        event.to_pandas()
    with pytest.raises(InputError, match="holds no voxels"):
        Event(Bundle(tuple(events.header()))).show()


def test_rows_of_several_events_do_not_know_theirs(output):
    with reco.open(output) as f, pytest.raises(InputError, match=r"f\[3\]\.particles"):
        _ = f.particles[0].voxels


def test_vectors_have_the_arithmetic_of_the_package_vector(event):
    pytest.importorskip("vector")
    muon, proton = event.particles[MUON], event.particles[PROTON]
    expected = np.linalg.norm(events.POSITION[0] - events.POSITION[events.N_MUON])
    assert (proton.start - muon.start).mag == pytest.approx(expected)
    assert event.particles.direction.mag.tolist() == pytest.approx([1, 1, 1, 1])


def test_momentum_is_that_of_energy_and_mass(event):
    pytest.importorskip("vector")
    momentum = event.particles.momentum
    masses = [938.272, 0.511, 105.658]  # PDG
    assert momentum.mass[:3].tolist() == pytest.approx(masses, rel=1e-4)
    kinetic = ak.to_numpy(momentum.E - event.particles.mass)
    assert kinetic == pytest.approx(ak.to_numpy(event.particles.energy), rel=1e-5)
    muon = event.particles[MUON]
    assert muon.momentum.px == pytest.approx(np.sqrt((muon.energy + 105.658) ** 2 - 105.658**2))
    assert np.isnan(event.truth_particles.mass[3])  # its pid is unknown


def test_two_photons_weigh_what_their_angle_says(event):
    pytest.importorskip("vector")
    columns = {
        "pid": np.zeros(2, np.int8),
        "energy": np.array([100.0, 200], np.float32),
        "direction_x": np.array([1, 0], np.float32),
        "direction_y": np.array([0, 1], np.float32),
        "direction_z": np.zeros(2, np.float32),
    }
    first, second = table(columns, None, name="reco.Particle")
    assert (first.momentum + second.momentum).mass == pytest.approx(np.sqrt(2 * 100 * 200))


def test_numbers_are_not_copied(event):
    for product, field, seen in (
        (Estimates, "energy", event.particles.energy),
        (Voxels, "energy", event.voxels.energy),
        (Estimates, "vertex", event.interactions.vertex.y),
    ):
        stored = getattr(event.products[product], field).values
        assert np.shares_memory(np.asarray(seen), stored)


def test_a_data_frame_of_one_event_and_of_several(event, output):
    pandas = pytest.importorskip("pandas")
    frame = event.particles.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.energy.tolist() == event.particles.energy.tolist()
    assert frame.start_x.tolist() == event.particles.start.x.tolist()
    with reco.open(output) as f:
        several = f.particles.to_pandas()
        voxels = f.voxels.to_pandas()
        assert f.events.to_pandas().status.tolist() == [0, 0, 2]
        assert f.interactions.to_pandas().topology.tolist() == f.interactions.topology[0].tolist()
    assert several.loc[0].energy.tolist() == frame.energy.tolist()
    assert several.index.names == ["entry", "row"]
    assert len(voxels) == events.N


def test_text(event):
    assert repr(event).startswith("<Event 7/7/7 OK: ")
    assert f"{events.N} voxels" in repr(event)
    assert repr(event.particles[MUON]).startswith(f"<particle {MUON}: type μ, ")
    lines = str(event.particles).splitlines()
    assert len(lines) == 5
    assert "energy [MeV]" in lines[0]
    assert str(event.particles[:0]) == "no particles"
    assert "None" in repr(event.particles.partner[ak.mask([0], [False])])


def test_pictures_for_a_notebook_load_nothing(event, output):
    with reco.open(output) as f:
        whole_file = f._repr_html_()
        several = f.particles._repr_mimebundle_()
    parts = [event.particles, event.particles[MUON], event.interactions, event.truth_particles[0]]
    pictures = [p._repr_mimebundle_()["text/html"] for p in parts]
    for html in (event._repr_html_(), whole_file, *pictures):
        assert not {"script", "link", "img", "src", "href"} & Reader(html).names
    assert "text/html" in several
    text = Reader(event._repr_html_()).text
    assert "Event 7 / 7 / 7" in text
    assert "μ" in text
    assert "energy [MeV]" in text


def test_the_summary_of_a_large_event_is_short():
    n, one = 40, Ragged.one
    semantic = np.full(n, Semantic.LOW_ENERGY)
    semantic[7] = Semantic.TRACK
    none = one(np.zeros(0))
    crowd = Particles(none, none, none, one(np.arange(n)), one(semantic), one(np.ones(n)))
    html = Event(Bundle((*events.header(), crowd)))._repr_html_()
    assert html.count("<tr>") == 11
    assert "and 30 more" in html
    assert Reader(html).text.index("track") < Reader(html).text.index("low energy")


def test_an_event_is_shown_as_reco_view_shows_it(event, tmp_path):
    pytest.importorskip("plotly")
    page = event.show()
    assert "out.h5" in page.html
    assert page._repr_html_().startswith("<iframe srcdoc=")
    page.write(tmp_path / "event.html")
    assert (tmp_path / "event.html").read_text() == page.html


def test_a_copy_through_pickle_is_the_same(event):
    again = pickle.loads(pickle.dumps(event))
    assert repr(again) == repr(event)
    particles = pickle.loads(pickle.dumps(event.particles))
    assert particles.energy.tolist() == event.particles.energy.tolist()


def test_fields_are_documented_with_their_units():
    for name, line in {
        "energy": "energy [MeV]: initial kinetic energy",
        "start": "start [cm]",
        "pid": "pid: 0 γ 1 e 2 μ 3 π 4 p 5 K",
    }.items():
        assert line in (Particle.__doc__ or ""), name
    assert "vertex_cov (3, 3) [cm2]" in (reco.Interaction.__doc__ or "")
