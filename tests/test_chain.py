"""The whole chain, from a file of hits to the tables: the golden test.

The figures are loose enough for other processors, and tight enough that a stage which goes wrong
shows; what must hold exactly (sums, ranges, numbering, the batch) is asked for exactly.
"""

import shutil
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest

import reco
from reco.cli.run import SOME_FAILED, Request, run_all
from reco.data.classes import Status
from reco.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
PIPELINE = str(ROOT / "pipelines" / "lartpc.yaml")
SAMPLE = ROOT / "data_samples" / "lartpc.root"
EVENTS = 20
FEW = 5

VOXELS, ENERGY = 78_231, 25_228.0
"""Of all events: distinct voxels above threshold, and their energy in MeV."""


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return reco.load(PIPELINE, ["run.device=cpu"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def out(pipe, folder):
    """The sample, reconstructed."""
    summary = pipe.process(SAMPLE, folder / "out.h5")
    assert (summary.events, summary.failed, summary.empty) == (EVENTS, 0, 0)
    return reco.open(folder / "out.h5")


def datasets(path: Path) -> dict[str, h5py.Dataset]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, d: found.update({name: d[...]} if d.shape else {})
                        if isinstance(d, h5py.Dataset) else None)  # fmt: skip
    return found


def assert_same_bits(path: Path, wanted: Path) -> None:
    """Every column of one file, NaN and all, is in the other."""
    got, want = datasets(path), datasets(wanted)
    assert want.keys() <= got.keys()
    for name, values in want.items():
        assert values.dtype == got[name].dtype, name
        assert values.tobytes() == got[name].tobytes(), name


def flat(column: ak.Array) -> np.ndarray:
    return ak.to_numpy(ak.flatten(column, axis=1))


def per_event(out, *columns: str):
    """For each event, these columns (`table.name`) as numpy arrays by name."""
    for event in range(len(out)):
        split = {column: column.split(".") for column in columns}
        yield {c: ak.to_numpy(getattr(out, t)[n][event]) for c, (t, n) in split.items()}


# --- figures


def test_the_voxels_are_those_of_the_sample(out):
    assert ak.sum(ak.num(out.voxels)) == pytest.approx(VOXELS, rel=0.01)
    assert ak.sum(out.voxels.energy) == pytest.approx(ENERGY, rel=0.01)
    assert ak.all(out.voxels.energy > 0)


def test_classes_are_right_for_nearly_all_voxels(out):
    known = flat(out.voxels.truth_semantic) >= 0
    truth, found = flat(out.voxels.truth_semantic)[known], flat(out.voxels.semantic)[known]
    assert known.mean() > 0.9
    assert (truth == found).mean() > 0.95
    for kind, least in ((0, 0.93), (1, 0.97)):
        assert (found[truth == kind] == kind).mean() > least


def test_as_many_particles_and_interactions_as_there_are(out):
    labelled = out.voxels.truth_particle
    true = sum(len(np.setdiff1d(ak.to_numpy(row), [-1])) for row in labelled)
    found = ak.sum(ak.num(out.particles))
    # crumbs of showers that stay alone are particles too
    assert 0.6 * true < found < 2 * true
    true = sum(len(np.setdiff1d(ak.to_numpy(row), [-1])) for row in out.voxels.truth_interaction)
    assert 0.6 * true < ak.sum(ak.num(out.interactions)) < 1.5 * true


def test_particles_and_vertices_are_found(out):
    """The largest true particle of an event has a match; the vertex of most is near."""
    for e in per_event(out, "particles.n_voxels", "particles.match_iou"):
        assert e["particles.match_iou"][e["particles.n_voxels"].argmax()] > 0.3
    far = []
    for match, vertex, true in zip(
        out.interactions.match, out.interactions.vertex, out.truth_interactions.vertex, strict=True
    ):
        for row in np.flatnonzero(ak.to_numpy(match) >= 0):
            a, b = vertex[row], true[match[row]]
            far.append(np.hypot(np.hypot(a.x - b.x, a.y - b.y), a.z - b.z))
    assert len(far) > EVENTS / 2
    assert np.median(far) < 2.0


def test_the_energy_of_contained_primaries(out):
    ratios = []
    for match, good, energy, true in zip(
        out.particles.match,
        (out.particles.match_iou > 0.7) & out.particles.contained,
        out.particles.energy,
        out.truth_particles.energy,
        strict=True,
    ):
        rows = np.flatnonzero(ak.to_numpy(good))
        ratios += [float(energy[r] / true[match[r]]) for r in rows]
    assert len(ratios) > EVENTS / 2
    assert np.median(ratios) == pytest.approx(1, abs=0.15)


# --- what holds exactly


def test_the_events_are_those_of_the_file(out):
    assert out.events.entry.tolist() == list(range(EVENTS))
    assert set(out.events.status.tolist()) == {Status.OK}
    assert set(out.events.message.tolist()) <= {b"", ""}


def test_offsets_cut_every_table_into_events(out):
    with h5py.File(out.path) as file:
        for name, table in file.items():
            rows = {len(d) for key, d in table.items() if key != "offsets"}
            if name == "events":
                assert rows == {EVENTS}
                continue
            offsets = table["offsets"][...]
            assert len(offsets) == EVENTS + 1
            assert offsets[0] == 0
            assert (np.diff(offsets) >= 0).all()
            assert rows == {offsets[-1]}, name


def test_scores_are_probabilities_and_classes_in_range(out):
    for scores, chosen, rounding in (
        (out.voxels.semantic_scores, out.voxels.semantic, 1e-3),  # of 16 bits
        (out.particles.pid_scores, out.particles.pid, 1e-4),
    ):
        values = flat(scores)
        assert (values >= 0).all()
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=rounding)
        assert flat(chosen).min() >= 0
        assert flat(chosen).max() < values.shape[1]
    np.testing.assert_array_equal(
        flat(out.voxels.semantic_scores).argmax(1), flat(out.voxels.semantic)
    )
    for score in (out.points.score, out.particles.primary_score, out.fragments.primary_score):
        assert ak.all((score >= 0) & (score <= 1))


def test_every_voxel_has_a_fragment_a_particle_and_an_interaction(out):
    names = [f"voxels.{n}" for n in ("fragment", "particle", "interaction", "semantic")]
    names += [f"fragments.{n}" for n in ("particle", "n_voxels", "semantic")]
    names += [f"particles.{n}" for n in ("interaction", "n_voxels", "id")]
    names += [f"interactions.{n}" for n in ("n_particles", "id")]
    equal = np.testing.assert_array_equal
    for e in per_event(out, *names):
        fragment, particle = e["voxels.fragment"], e["voxels.particle"]
        equal(e["fragments.particle"][fragment], particle)
        equal(e["particles.interaction"][particle], e["voxels.interaction"])
        equal(e["fragments.semantic"][fragment], e["voxels.semantic"])
        equal(np.bincount(fragment), e["fragments.n_voxels"])
        equal(np.bincount(particle), e["particles.n_voxels"])
        equal(np.bincount(e["particles.interaction"]), e["interactions.n_particles"])
        equal(e["particles.id"], np.arange(len(e["particles.id"])))
        equal(e["interactions.id"], np.arange(len(e["interactions.id"])))
        assert (e["interactions.n_particles"] > 0).all()


def test_particles_are_measured(out):
    for e in per_event(out, "voxels.particle", "voxels.energy", "particles.energy_calo"):
        total = np.bincount(e["voxels.particle"], e["voxels.energy"])
        np.testing.assert_allclose(total, e["particles.energy_calo"], rtol=1e-4)
    direction = flat(out.particles.direction)
    length = np.sqrt(direction["x"] ** 2 + direction["y"] ** 2 + direction["z"] ** 2)
    large = flat(out.particles.n_voxels) >= 10
    np.testing.assert_allclose(length[large], 1, atol=1e-4)
    assert (np.isclose(length, 1, atol=1e-4) | (length == 0)).all()  # a voxel has no direction
    particles, interactions = out.particles, out.interactions
    for column in (particles.energy, particles.energy_sigma, interactions.energy_sigma):
        assert (flat(column) > 0).all()
        assert np.isfinite(flat(column)).all()
    assert (flat(particles.length) >= 0).all()


def test_vertices_have_a_covariance(out):
    cov = flat(out.interactions.vertex_cov).astype(float)
    np.testing.assert_allclose(cov, cov.transpose(0, 2, 1), rtol=1e-5, atol=1e-9)
    assert (np.linalg.eigvalsh(cov) > 0).all()
    vertex = flat(out.interactions.vertex)
    assert all((np.abs(vertex[axis]) < 200).all() for axis in "xyz")


def test_matches_are_the_best_overlaps(out):
    names = ("voxels.particle", "voxels.truth_particle", "particles.match", "particles.match_iou")
    for event in per_event(out, *names):
        found, true, match, iou = event.values()
        for particle in range(len(match)):
            mine = found == particle
            each = {
                t: (mine & (true == t)).sum() / (mine | (true == t)).sum()
                for t in np.setdiff1d(true[mine], [-1]).tolist()
            }
            if match[particle] < 0:
                assert not each
                continue
            assert iou[particle] == pytest.approx(max(each.values()), abs=1e-5)
            assert iou[particle] == pytest.approx(each[match[particle]], abs=1e-5)


# --- one event, one batch, one run at a time


def test_no_result_depends_on_the_batch(pipe, folder):
    for size in (1, 16):
        one = reco.load(PIPELINE, ["run.device=cpu", f"run.batch_size={size}"])
        one.process(SAMPLE, folder / f"batch{size}.h5", stop=FEW)
    assert_same_bits(folder / "batch16.h5", folder / "batch1.h5")


def run(*inputs: Path, overrides=(), **request) -> int:
    asked = {"stored": None, "output": None, "until": None, "start": 0, "stop": None}
    asked |= {"overwrite": False} | request
    chosen = Request(inputs=tuple(map(str, inputs)), **asked)
    return run_all(PIPELINE, ["run.device=cpu", *overrides], chosen)


@pytest.mark.parametrize("stage", ["segment", "interactions"])
def test_going_on_from_a_stage_is_the_straight_run(pipe, folder, stage):
    straight, half, rest = (folder / f"{stage}_{n}.h5" for n in ("straight", "half", "rest"))
    assert run(SAMPLE, stop=3, output=straight) == 0
    assert run(SAMPLE, stop=3, output=half, until=stage) == 0
    with h5py.File(half) as file:
        assert "vertex_x" not in file.get("interactions", {})
    assert run(stored=half, output=rest) == 0
    assert_same_bits(rest, straight)


def test_a_bad_event_fails_alone(pipe, folder, capsys):
    good, bad = ROOT / "data_samples" / "lartpc.h5", folder / "bad.h5"
    shutil.copy(good, bad)
    with h5py.File(bad, "r+") as file:
        file["hits/x"][file["hits/offsets"][1] + 3] = np.nan
    assert run(good, stop=FEW, output=folder / "good_out.h5") == 0
    assert run(bad, stop=FEW, output=folder / "bad_out.h5") == SOME_FAILED
    assert "entry 1" in capsys.readouterr().err
    clean, out = reco.open(folder / "good_out.h5"), reco.open(folder / "bad_out.h5")
    assert out.events.status.tolist() == [0, Status.FAILED, *[0] * (FEW - 2)]
    assert "x" in str(out.events.message[1])
    assert len(out.voxels[1]) == len(out.particles[1]) == 0
    for event in (0, *range(2, FEW)):
        for table in ("voxels", "particles", "interactions"):
            a, b = getattr(clean, table)[event], getattr(out, table)[event]
            assert ak.array_equal(a, b, equal_nan=True), (table, event)


@pytest.mark.parametrize(
    ("name", "events", "overrides"),
    [
        ("larcv2/pixlarevd_multi_particle.root", 1, ["detector=microboone"]),
        ("larndsim/jax_input_0.h5", 10, []),
        ("larndsim/ynashed_edepsim-output.h5", 2, []),
        ("edepsim/samfogarty_ten-Mu-plus.root", 2, []),
        ("edepsim/samfogarty_test.root", 3, []),
        (
            "larsoft_flat/Makiu_analyzeItOutput_R2-2_SR1-1.root",
            2,
            [
                "detector=sbnd",
                *(f"input.{a}=EnDep{a.upper()}" for a in "xyz"),
                *("input.energy=EnDepE", "input.t=EnDepT", "input.time_unit=ns"),
            ],
        ),
    ],
    ids=lambda v: Path(v).stem if isinstance(v, str) else "",
)
def test_files_of_real_experiments(pipe, folder, realdata, name, events, overrides):
    output = folder / f"{Path(name).stem}.h5"
    assert run(realdata / name, stop=events, output=output, overrides=overrides) == 0
    out = reco.open(output)
    assert Status.FAILED not in out.events.status.tolist()
    for event, status in enumerate(out.events.status.tolist()):
        assert (status == Status.OK) == (len(out.voxels[event]) > 0)
    if name != "edepsim/samfogarty_test.root":  # in which nothing was ever deposited
        assert (out.events.status.to_numpy() == Status.OK).sum() > events / 2
        assert ak.sum(ak.num(out.particles)) > 0
    assert (flat(out.voxels.interaction) >= 0).all()


def test_hits_in_memory_give_the_event_of_the_file(pipe, out, folder):
    """`pipe(hits)` on the arrays of an event of the sample."""
    with h5py.File(ROOT / "data_samples" / "lartpc.h5") as file:
        rows = slice(0, file["hits/offsets"][1])
        position = np.stack([file["hits"][axis][rows] for axis in "xyz"], axis=1)
        value, time = file["hits/value"][rows], file["hits/t"][rows]
        quantity = int(file["events/hit_quantity"][0])
    event = pipe(position, value, time, quantity)
    wanted = next(iter(pipe.run(ROOT / "data_samples" / "lartpc.h5", stop=1)))
    for table in ("voxels", "particles", "interactions"):
        a, b = getattr(event, table), getattr(wanted, table)
        common = [name for name in a.fields if name in b.fields]
        assert ak.array_equal(a[common], b[common], equal_nan=True)


def test_the_smallest_events(pipe):
    for n in (0, 1, 2):
        position = np.array([[10.0, 10.0, 10.0], [10.0, 10.0, 10.4]])[:n]
        event = pipe(position, np.full(n, 3.0), quantity="energy")
        assert event.status == (Status.OK if n else Status.EMPTY)
        assert len(event.voxels) == n
        assert (len(event.particles) > 0) == (n > 0)
        assert (len(event.interactions) > 0) == (n > 0)
