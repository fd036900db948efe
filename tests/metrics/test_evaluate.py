"""The evaluation as a whole, on small events whose figures are known."""

import json
from dataclasses import fields, replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from reco.data.products import (
    Estimates,
    Fragments,
    Header,
    Interactions,
    Kinematics,
    Particles,
    Physics,
    Points,
    Semantics,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
    Voxels,
)
from reco.data.ragged import Ragged
from reco.errors import InputError
from reco.metrics import Evaluation, Report, Settings, Tables, evaluate
from reco.metrics.bootstrap import with_errors
from reco.metrics.report import Findings, Row
from reco.metrics.sections.reliability import ScoreCounts

SIZE = 0.3
SETTINGS = Settings(voxel_size=SIZE, resamples=0)
START = np.array([[0, 0, 0], [0, 0, 0], [100, 0, 0]], float)
DIRECTION = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
LENGTH = np.array([76.2, 7.82, 30.0])
ENERGY = np.array([200.0, 100.0, 400.0])
PID = np.array([2, 4, 1])
SEMANTIC = np.array([1, 1, 0])
INTERACTION = np.array([0, 0, 1])


def one(values):
    return Ragged.one(np.asarray(values))


def classified(semantic) -> Semantics:
    """Semantics with nothing in the columns that only later stages read."""
    internal = {
        name: one(np.zeros((len(semantic), *(max(k, 0) for k in spec.shape))))
        for name, spec in Semantics.columns().items()
        if spec.internal
    }
    return Semantics(scores=one(np.eye(5)[semantic]), semantic=one(semantic), **internal)


def event() -> Tables:
    """A 200 MeV muon and a 100 MeV proton from one vertex, an electron from another; perfect."""
    count = (LENGTH / SIZE).astype(int)
    particle = np.repeat(np.arange(3), count)
    along = np.concatenate([np.arange(n) * SIZE for n in count])
    position = START[particle] + DIRECTION[particle] * along[:, None]
    deposit = (ENERGY * [1, 1, 0.83] / count)[particle]
    n = len(particle)
    end = START + DIRECTION * LENGTH[:, None]
    rows = np.arange(3)
    yes = np.ones(3, bool)
    vertex = START[[0, 2]]
    totals = [300.0, 400.0]
    return Tables(
        voxels=Voxels(one(np.zeros((n, 3))), one(position), one(deposit), [n], [0]),
        labels=VoxelLabels(
            one(SEMANTIC[particle]), one(particle), one(particle), one(INTERACTION[particle])
        ),
        semantics=classified(SEMANTIC[particle]),
        points=Points(
            one(np.concatenate([START, end[:2]])), one([1, 1, 0, 1, 1]), one(np.full(5, 0.9))
        ),
        fragments=Fragments(one(particle), one(SEMANTIC), one(count)),
        particles=Particles(
            one(particle), one(rows), one(np.ones(3)), one(rows), one(SEMANTIC), one(count)
        ),
        kinematics=Kinematics(
            *map(one, (START, end, DIRECTION, LENGTH, [2.1, 9, 2.1], ENERGY, ENERGY)),
            one(np.zeros((3, 4))),
            one(yes),
        ),
        interactions=Interactions(
            one(INTERACTION[particle]),
            one(INTERACTION),
            one(PID),
            one(np.eye(6)[PID]),
            one(yes),
            one(np.ones(3)),
            one([0, 1]),
            one([2, 1]),
        ),
        estimates=Estimates(
            *map(one, (ENERGY, np.ones(3), vertex, [np.eye(3)] * 2, totals, np.ones(2))),
            *map(one, (np.ones(3), np.ones(2), np.ones(2))),
        ),
        physics=Physics(one([200, 100, np.nan]), one(["1mu1p", "1e"]), one([True, True])),
        truth_particles=TruthParticles(
            pid=one(PID),
            pdg=one([13, 2212, 11]),
            semantic=one(SEMANTIC),
            interaction=one(INTERACTION),
            parent=one([-1, -1, -1]),
            is_primary=one(yes),
            start=one(START),
            end=one(end),
            direction=one(DIRECTION),
            energy=one(ENERGY),
            energy_deposit=one(ENERGY),
            length=one(LENGTH),
            time=one(np.zeros(3)),
            contained=one(yes),
        ),
        truth_interactions=TruthInteractions(
            *map(one, (vertex, totals, [0, 0], [2, 1], ["1mu1p", "1e"], [True, True]))
        ),
    )


def empty() -> Tables:
    return Tables.of(type(p).empty() for p in event().products())


def swapped(product, **columns):
    return replace(product, **{name: one(values) for name, values in columns.items()})


def test_a_perfect_chain_gets_full_marks():
    report = evaluate([event()] * 4, SETTINGS)
    assert report.events == 4
    shares = [r for r in report.rows if r.unit == "%" and r.count and not np.isnan(r.value)]
    zero = ("bias", "half-width", "unmatched", "outside the detector", "calibration error", "term")
    for row in shares:
        expected = 0 if any(word in row.name for word in zero) else 1
        assert row.value == pytest.approx(expected, abs=1e-5), row
    assert report.row("Vertex", "68 % radius").value == pytest.approx(0, abs=1e-5)
    assert report.row("Points of interest", "true to nearest predicted, median").value < 0.01


def test_every_figure_of_the_target_tables_is_there():
    report = evaluate([event()] * 2, SETTINGS)
    for section, name in [
        ("Segmentation", "macro-F1"),
        ("Segmentation", "delta accuracy"),
        ("Points of interest", "true to nearest predicted, within 3 voxels"),
        ("Points of interest", "predicted to nearest true, within 3 voxels"),
        ("Points of interest", "predicted to nearest true, median"),
        ("Fragments", "ARI"),
        ("Particles", "ARI"),
        ("Particles", "ARI, masked"),
        ("Particles", "assigned"),
        ("Showers", "purity"),
        ("Showers", "efficiency"),
        ("Showers", "primary accuracy"),
        ("Interactions", "ARI, 1-5 per image"),
        ("Particle identity", "accuracy, matched primaries"),
        ("Particle identity", "balanced accuracy, matched primaries"),
        ("Particle identity", "primary accuracy"),
        ("Vertex", "within 1 cm"),
        ("Vertex", "68 % radius"),
        ("Vertex", "unmatched"),
        ("Energy of particles", "electrons 300-700 MeV, contained, half-width"),
        ("Energy of particles", "stopping muons, half-width"),
        ("Energy of particles", "stopping protons, half-width"),
        ("Energy of particles", "muons above 1 m, exiting, half-width"),
        ("Energy of particles", "showers, contained, term b of a + b/sqrt(E/GeV)"),
        ("Particle identity", "balanced accuracy of γ e μ π p, all primaries"),
        ("Vertex", "within 1 cm, with a visible charged primary"),
        ("Uncertainties", "vertex, pull width"),
        ("Uncertainties", "energy of contained particles, 95 % coverage"),
    ]:
        assert report.row(section, name).name == name
    with pytest.raises(KeyError, match="no such row"):
        report.row("Vertex", "no such row")


def test_baselines_stand_beside_and_can_be_left_out():
    report = evaluate([event()] * 2, SETTINGS)
    # the muon and the proton touch at the vertex, so density clustering makes one of them
    assert report.row("Particles", "ARI").baseline < 0.9
    assert report.row("Interactions", "ARI").baseline == pytest.approx(1)
    assert report.row("Vertex", "68 % radius").baseline == pytest.approx(0, abs=1e-5)
    name = "electrons 300-700 MeV, contained, bias"
    assert report.row("Energy of particles", name).baseline == pytest.approx(0, abs=1e-5)
    assert report.row("Particle identity", "accuracy, all primaries").baseline == 1
    without = evaluate([event()], replace(SETTINGS, baselines=False))
    assert all(row.baseline is None for row in without.rows if row.section != "Showers")
    assert without.row("Showers", "ARI").baseline is None


def test_a_merged_particle_costs_the_match_and_the_identity():
    tables = event()
    merged = np.where(tables.particles.voxel_particle.values == 2, 2, 0)
    bad = replace(tables, particles=swapped(tables.particles, voxel_particle=merged))
    report = evaluate([bad], SETTINGS)
    assert report.row("Particle identity", "matched primaries").value == pytest.approx(2 / 3)
    assert report.row("Particle identity", "accuracy, matched primaries").value == 1
    assert report.row("Particle identity", "accuracy, all primaries").value == pytest.approx(2 / 3)
    assert report.row("Energy of particles", "stopping protons, matched").value == 0
    assert report.row("Particles", "efficiency").value == 1
    assert report.row("Particles", "purity").value < 1


def test_unassigned_voxels_show_in_the_unmasked_figures_only():
    tables = event()
    half = tables.particles.voxel_particle.values.copy()
    half[::2] = -1
    bad = replace(tables, particles=swapped(tables.particles, voxel_particle=half))
    report = evaluate([bad], SETTINGS)
    assert report.row("Particles", "ARI, masked").value == 1
    assert report.row("Particles", "assigned").value == pytest.approx(0.5, abs=0.01)
    assert report.row("Particles", "ARI").value < 0.6


def test_interactions_that_are_not_matched_are_counted_as_such():
    tables = event()
    none = np.full_like(tables.interactions.voxel_interaction.values, -1)
    bad = replace(tables, interactions=swapped(tables.interactions, voxel_interaction=none))
    report = evaluate([bad, event()], SETTINGS)
    assert report.row("Vertex", "unmatched").value == pytest.approx(0.5)
    assert report.row("Vertex", "within 1 cm").count == 2


def test_the_wrong_first_fragment_of_a_shower():
    tables = event()
    fragment = tables.labels.fragment.values.copy()
    shower = np.flatnonzero(fragment == 2)
    fragment[shower[60:]] = 3
    for scores, right in (([1, 1, 0.9, 0.2], 1), ([1, 1, 0.1, 0.2], 0)):
        split = replace(
            tables,
            labels=swapped(tables.labels, fragment=fragment),
            fragments=Fragments(one(fragment), one([1, 1, 0, 0]), one(np.bincount(fragment))),
            particles=swapped(
                tables.particles,
                fragment_particle=[0, 1, 2, 2],
                fragment_primary_score=scores,
            ),
        )
        report = evaluate([split], SETTINGS)
        for name in ("primary accuracy", "primary accuracy, matched"):
            row = report.row("Showers", name)
            assert (row.value, row.count) == (right, 1)


def test_vertex_and_energy_residuals_and_pulls():
    rng = np.random.default_rng(0)
    chunks = []
    for _ in range(150):
        tables = event()
        estimates = swapped(
            tables.estimates,
            vertex=tables.estimates.vertex.values + rng.normal(size=(2, 3)) * 2,
            vertex_cov=[np.eye(3) * 4] * 2,
            energy=ENERGY * (1 + 0.1 * rng.normal(size=3)),
            energy_sigma=ENERGY * 0.1,
        )
        chunks.append(replace(tables, estimates=estimates))
    report = evaluate(chunks, SETTINGS)
    # three coordinates of sigma 2 cm: sqrt of the 68 % quantile of chi-squared, twice
    assert report.row("Vertex", "68 % radius").value == pytest.approx(2 * 3.506**0.5, rel=0.1)
    assert report.row("Uncertainties", "vertex, pull width").value == pytest.approx(1, abs=0.1)
    share = report.row("Uncertainties", "vertex, inside the 68 % ellipsoid").value
    assert share == pytest.approx(0.68, abs=0.07)
    width = report.row("Energy of particles", "stopping muons, half-width").value
    assert width == pytest.approx(0.1, abs=0.02)
    coverage = report.row("Uncertainties", "energy of contained particles, 68 % coverage")
    assert coverage.value == pytest.approx(0.68, abs=0.06)
    assert coverage.count == 450


@pytest.mark.parametrize("missing", [f.name for f in fields(Tables)])
def test_any_product_may_be_missing(missing):
    report = evaluate([replace(event(), **{missing: None})] * 2, SETTINGS)
    full = {(r.section, r.name) for r in evaluate([event()] * 2, SETTINGS).rows}
    assert {(r.section, r.name) for r in report.rows} <= full


def test_events_without_a_voxel_do_not_disturb():
    alone = evaluate([event()] * 2, SETTINGS)
    mixed = evaluate([event(), empty(), event(), empty()], SETTINGS)
    assert mixed.events == 4
    assert repr(mixed.rows) == repr(alone.rows)


@pytest.mark.parametrize("chunks", [[], [Tables()], [empty()]])
def test_nothing_to_evaluate(chunks):
    report = evaluate(chunks, SETTINGS)
    assert all(row.count == 0 for row in report.rows)
    report.print(Console(width=120, quiet=True))
    json.loads(report.to_json())


@pytest.mark.parametrize("n", [1, 2])
def test_events_of_one_and_two_voxels(n):
    tables = event()
    cut = {}
    for f in fields(Tables):
        product = getattr(tables, f.name)
        columns = {
            name: Ragged.one(data.values[:n])
            for name, spec in product.columns().items()
            if spec.table == "voxels" and isinstance(data := getattr(product, name), Ragged)
        }
        cut[f.name] = replace(product, **columns)
    report = evaluate([Tables(**cut)], replace(SETTINGS, min_voxels=1))
    assert report.row("Segmentation", "track accuracy").count == n
    assert report.row("Particles", "ARI").value == 1


def test_chunks_do_not_matter(tmp_path):
    pieces = [event(), empty(), event()]
    kinds = list(zip(*(p.products() for p in pieces), strict=True))
    whole = Tables.of(type(same[0]).concat(same) for same in kinds)
    assert len(whole) == 3
    evaluation = Evaluation(SETTINGS)
    evaluation.update(whole)
    assert repr(evaluation.report()) == repr(evaluate(pieces, SETTINGS))
    path = tmp_path / "report.json"
    evaluation.report().write_json(path)
    loaded = json.loads(path.read_text())
    assert loaded["events"] == 3
    row = {"section", "name", "value", "error", "baseline", "count", "unit", "of"}
    assert row == set(loaded["rows"][0])
    assert loaded["matrices"][0]["labels"][0] == "shower"


def test_a_vertex_outside_the_detector_counts_apart():
    tables = event()
    entered = tables.truth_particles.start.values[tables.truth_particles.interaction.values == 1]
    estimates = swapped(tables.estimates, vertex=np.array([[0, 0, 0], entered[0]], float))
    walls = replace(SETTINGS, lower=(-50.0, -50.0, -50.0), upper=(50.0, 50.0, 50.0))
    report = evaluate([replace(tables, estimates=estimates)], walls)
    assert report.row("Vertex", "outside the detector").value == 0.5
    inside = report.row("Vertex", "within 1 cm")
    assert (inside.value, inside.count) == (1, 1)
    entry = report.row("Vertex", "within 1 cm, place of entry from outside")
    assert (entry.value, entry.count) == (1, 1)
    assert report.row("Uncertainties", "vertex, 68 % coverage").count == 3


def test_a_tail_widens_the_95_percent_interval_alone():
    tables = event()
    far = swapped(tables.estimates, energy=ENERGY + 3, energy_sigma=np.ones(3))
    for tail, covered in ((1.0, 0), (2.0, 1)):
        estimates = replace(far, energy_tail=one(np.full(3, tail)))
        report = evaluate([replace(tables, estimates=estimates)], SETTINGS)
        name = "energy of contained particles"
        assert report.row("Uncertainties", f"{name}, 95 % coverage").value == covered
        assert report.row("Uncertainties", f"{name}, 68 % coverage").value == 0


def test_errors_are_those_of_a_mean():
    """Half of 400 events are right: their share is known to sqrt(0.5 * 0.5 / 400)."""

    class Toy:
        def observe(self, event):
            return None

        def summarise(self, records):
            return Findings((Row("a", "b", float(np.mean(records)), "%", len(records), "events"),))

    section, records = Toy(), [0.0, 1.0] * 200
    plain = [section.summarise(records)]
    row = with_errors(plain, [(section, records)], 300)[0].rows[0]
    assert row.value == 0.5
    assert row.error == pytest.approx(0.025, rel=0.2)
    assert with_errors(plain, [(section, records)], 0) == plain


def test_the_worst_events_stand_first():
    tables = event()
    merged = np.zeros_like(tables.interactions.voxel_interaction.values)
    bad = replace(tables, interactions=swapped(tables.interactions, voxel_interaction=merged))
    report = evaluate([event(), bad, empty(), event()], SETTINGS)
    assert [score.event for score in report.worst] == [1, 0, 3]
    assert report.worst[0].interaction_ari < 0.9
    assert report.worst[0].class_accuracy == report.worst[1].interaction_ari == 1


def test_reliability_of_scores_by_hand():
    counts = ScoreCounts.of(np.array([0.05, 0.62, 0.68, 1.0]), np.array([False, True, False, True]))
    assert counts.count.tolist() == [1, 0, 0, 0, 0, 0, 2, 0, 0, 1]
    # bins: |.05 - 0|, |1.30 - 1|, |1 - 1| over four answers
    assert counts.error() == pytest.approx((0.05 + 0.3) / 4)
    report = evaluate([event()], SETTINGS)
    curve = next(c for c in report.curves if c.name == "Reliability: identity of primaries")
    assert (sum(curve.count), curve.values["right"][-1]) == (3, 1)


def test_numbers_that_do_not_exist_are_null():
    report = evaluate([empty()], SETTINGS)
    values = [row["value"] for row in json.loads(report.to_json())["rows"]]
    assert None in values


def test_the_table_shows_figures_and_baselines():
    console = Console(width=160, record=True, file=StringIO())
    evaluate([event()], SETTINGS).print(console)
    text = console.export_text()
    assert "macro-F1" in text
    assert "100.00 %" in text
    assert "Identity of primaries" in text


def test_products_of_different_events_are_refused():
    with pytest.raises(InputError, match="different numbers of events"):
        replace(event(), points=Points.empty(2))


def test_products_that_do_not_matter_are_ignored():
    header = Header(*(np.zeros(1) for _ in range(4)))
    assert Tables.of([header]) == Tables()


def test_rows_of_a_section_stand_together():
    rows = [Row(section, "", 0.0, "", 0, "") for section in "abac"]
    report = Report.of(0, SETTINGS, [Findings((row,)) for row in rows])
    assert [row.section for row in report.rows] == list("aabc")
