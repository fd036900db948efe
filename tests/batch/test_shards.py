"""Work items, the manifest, resuming and merging, in one process."""

import dataclasses
import os
import resource
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reco import config as configuration
from reco.batch import engine
from reco.batch.manifest import NAME, SHARDS, Ledger, ledger, path_of, writing
from reco.batch.merge import merge
from reco.batch.plan import InputFile, Recipe
from reco.batch.run import Request, carry_out, plan
from reco.detector import SHARED as DETECTORS
from reco.digest import sha256_of
from reco.errors import RecoError
from reco.io.store import StoredProducts
from tests.batch.conftest import columns, in_one_process, pipeline, same_bits
from tests.faults.kills import in_child
from tests.test_cli import hits_file


def run(chain: Path, inputs: list[Path], output: Path, **changes: object) -> Ledger:
    request = Request(configuration.load(chain), inputs, output, size=4)
    here = partial(engine.here, tries=2)
    return carry_out(dataclasses.replace(request, **changes), here, lambda *_: None)


def shards(output: Path) -> list[Path]:
    return sorted((output / SHARDS).glob("*/*"))


@given(events=st.integers(0, 50), size=st.integers(1, 60))
def test_items_hold_every_event_once(events, size):
    items = list(InputFile("a", "b", "c", events).items(size))
    assert [e for i in items for e in range(i.start, i.stop)] == list(range(events))
    assert all(0 < item.stop - item.start <= size for item in items)


def test_merged_shards_are_what_one_process_writes(chain, inputs, tmp_path):
    book = run(chain, inputs, tmp_path / "out")
    assert len(book.shards) == 5
    assert not book.missing()
    done = merge(tmp_path / "out", tmp_path / "m.h5")
    assert (done.events, done.missing) == (17, 0)
    wanted = in_one_process(chain, inputs, tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)


def test_a_merged_file_has_the_layout_and_attributes_of_a_run(chain, inputs, tmp_path):
    run(chain, inputs[:1], tmp_path / "out")
    merge(tmp_path / "out", tmp_path / "m.h5")
    in_one_process(chain, inputs[:1], tmp_path / "single")
    with h5py.File(tmp_path / "m.h5") as m, h5py.File(tmp_path / "single" / "a_run.h5") as single:
        for name in columns(tmp_path / "m.h5"):
            assert dict(m[name].attrs) == dict(single[name].attrs)
            assert m[name].chunks == single[name].chunks
            assert m[name].compression == single[name].compression
    with StoredProducts(tmp_path / "m.h5") as stored:
        facts = stored.provenance
    assert facts["input"]["path"] == str(inputs[0])
    assert facts["events"] == [0, 11]
    assert not facts["partial"]


def test_features_stored_for_later_stages_survive_a_shard_where_all_failed(chain, tmp_path):
    """Such a shard has no column of features: nobody knows their width there."""
    values = [[13.0], [13.0], [13.0], [13.0], [1.0, 2.0], [3.0]]
    file = hits_file(tmp_path / "c.h5", *values)
    chain.write_text(chain.read_text() + "output: {internal: true}\n")
    book = run(chain, [file], tmp_path / "out")
    assert sum(shard.failed for _, shard in book.shards.values()) == 4
    merge(tmp_path / "out", tmp_path / "m.h5")
    wanted = in_one_process(chain, [file], tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)


@pytest.mark.parametrize("room", [0, 1000, 20_000])
def test_merging_on_a_full_disk(chain, inputs, tmp_path, room):
    run(chain, inputs, tmp_path / "out")

    def merged() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        with pytest.raises(RecoError, match=r"m\.h5: "):
            merge(tmp_path / "out", tmp_path / "m.h5")

    assert in_child(merged) == 0
    assert not [path.name for path in tmp_path.iterdir() if "m.h5" in path.name]


def test_parts_of_an_array_are_the_whole(chain, inputs, tmp_path):
    for k in (2, 3, 1):
        run(chain, inputs, tmp_path / "out", part=(k, 3))
    assert len(list((tmp_path / "out").glob("part-*"))) == 3
    book = ledger(tmp_path / "out")
    assert len(book.shards) == 5
    assert len({str(folder) for folder, _ in book.shards.values()}) == 3
    merge(tmp_path / "out", tmp_path / "m.h5")
    wanted = in_one_process(chain, inputs, tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)


def test_what_is_recorded_and_whole_is_not_made_again(chain, inputs, tmp_path):
    run(chain, inputs[:1], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in shards(tmp_path / "out")}
    run(chain, inputs, tmp_path / "out", size=None)
    after = {path: path.stat().st_mtime_ns for path in shards(tmp_path / "out")}
    assert len(after) == 5
    assert after.items() > before.items()


@pytest.mark.parametrize("harm", [os.unlink, lambda path: os.truncate(path, 100)])
def test_a_shard_that_is_not_whole_is_made_again(chain, inputs, tmp_path, harm):
    run(chain, inputs, tmp_path / "out")
    harmed = shards(tmp_path / "out")[1]
    harm(harmed)
    assert len(plan(Request(configuration.load(chain), inputs, tmp_path / "out")).items) == 1
    run(chain, inputs, tmp_path / "out")
    assert not ledger(tmp_path / "out").whole().missing()
    assert len(shards(tmp_path / "out")) == 5


def test_a_shard_with_other_bits_is_not_merged(chain, inputs, tmp_path):
    run(chain, inputs, tmp_path / "out")
    harmed = shards(tmp_path / "out")[2]
    content = bytearray(harmed.read_bytes())
    content[len(content) // 2] ^= 1
    harmed.write_bytes(content)
    with pytest.raises(RecoError, match=f"{harmed.name}: is not what was recorded"):
        merge(tmp_path / "out", tmp_path / "m.h5")
    assert not list(tmp_path.glob("*m.h5*"))


@pytest.mark.parametrize(("dtype", "width"), [("f4", 5), ("f2", 4)])
def test_a_shard_with_another_type_of_column_is_not_merged(chain, inputs, tmp_path, dtype, width):
    """As where the folder was begun before an update of reco."""
    book = run(chain, inputs, tmp_path / "out")
    folder, shard = list(book.shards.values())[1]
    with h5py.File(folder / shard.name, "r+") as file:
        scores = file["voxels/semantic_scores"][:, :width].astype(dtype)
        del file["voxels/semantic_scores"]
        file["voxels/semantic_scores"] = scores
    with sqlite3.connect(folder / NAME) as db:
        where = (sha256_of(folder / shard.name), shard.name)
        db.execute("UPDATE shards SET sha256 = ? WHERE name = ?", where)
    with pytest.raises(RecoError, match=rf"semantic_scores has rows of float{8 * int(dtype[1])}"):
        merge(tmp_path / "out", tmp_path / "m.h5")
    assert not list(tmp_path.glob("*m.h5*"))


def test_an_input_that_changed_is_run_again(chain, inputs, tmp_path):
    run(chain, inputs, tmp_path / "out")
    hits_file(inputs[1], [1.0, 2.0], [3.0])
    assert len(run(chain, inputs, tmp_path / "out").shards) == 4
    merge(tmp_path / "out", tmp_path / "m.h5")
    wanted = in_one_process(chain, inputs, tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)


@pytest.mark.parametrize("array_first", [True, False])
@pytest.mark.parametrize("without_turns", [True, False])
def test_the_manifest_that_saw_an_input_last_is_believed(
    chain, inputs, tmp_path, array_first, without_turns
):
    output, once = tmp_path / "out", [(1, 1)]
    before, after = ([(1, 2), (2, 2)], once) if array_first else (once, [(1, 2), (2, 2)])
    for part in before:
        run(chain, inputs, output, part=part)
    for path in output.rglob(NAME) if without_turns else ():  # as older versions wrote them
        with sqlite3.connect(path) as db:
            db.execute("ALTER TABLE files DROP COLUMN turn")
    old = inputs[1].read_bytes()
    hits_file(inputs[1], [1.0, 2.0], [3.0])
    for part in after:
        run(chain, inputs, output, part=part)
    assert len(ledger(output).shards) == 4
    merge(output, tmp_path / "m.h5")
    wanted = in_one_process(chain, inputs, tmp_path / "single")
    assert same_bits(columns(tmp_path / "m.h5"), wanted)
    inputs[1].write_bytes(old)
    assert len(run(chain, inputs, output, part=before[0]).shards) == 5


def test_an_input_that_changes_while_it_is_run_makes_no_shard(chain, inputs, tmp_path):
    def changing(job, items):
        hits_file(inputs[0], *[[1.0]] * 11)
        yield from engine.here(job, items, tries=1)

    request = Request(configuration.load(chain), inputs[:1], tmp_path / "out")
    book = carry_out(request, changing, lambda *_: None)
    assert not book.shards
    assert "has changed since it was submitted" in next(iter(book.aside.values())).message


def test_what_killed_workers_left_is_removed(chain, inputs, tmp_path):
    run(chain, inputs, tmp_path / "out")
    folder = shards(tmp_path / "out")[0].parent
    for name in (".0-4-abc.h5.77.part", "0-4-abc.h5", ".0-4-abc.h5.lock"):
        (folder / name).write_bytes(b"half")
    run(chain, inputs, tmp_path / "out")
    assert len(shards(tmp_path / "out")) == 5


def test_what_others_keep_there_stays(chain, inputs, tmp_path):
    output, others = tmp_path / "out", tmp_path / "others"
    run(chain, inputs, output)
    inside = shards(output)[0].parent / "inside"
    for folder in (others, inside):
        folder.mkdir()
        (folder / "precious").touch()
    (output / SHARDS / "link").symlink_to(others)
    (inside.parent / "link").symlink_to(others)
    assert len(run(chain, inputs, output).shards) == 5
    assert (others / "precious").exists()
    assert (inside / "precious").exists()
    assert not (inside.parent / "link").is_symlink()
    (output / SHARDS).rename(tmp_path / SHARDS)
    (output / SHARDS).symlink_to(tmp_path / SHARDS)
    with pytest.raises(RecoError, match="shards: is a link"):
        run(chain, inputs, output)


def test_an_unreadable_input_is_listed_and_the_others_are_run(chain, inputs, tmp_path):
    inputs[0].write_bytes(b"not a file of hits")
    book = run(chain, inputs, tmp_path / "out")
    assert "neither ROOT nor HDF5" in book.files[str(inputs[0])].problem
    assert len(book.shards) == 2
    assert not book.missing()
    with pytest.raises(RecoError, match=rf"1 inputs could not be read, the first is {inputs[0]}"):
        merge(tmp_path / "out", tmp_path / "m.h5")
    assert merge(tmp_path / "out", tmp_path / "m.h5", partial=True).unreadable == 1


def test_an_item_that_fails_is_set_aside_and_tried_when_asked(inputs, tmp_path):
    chain = pipeline(tmp_path, stage="tests.batch.stages:Refuses: {}")
    book = run(chain, inputs[1:], tmp_path / "out")
    assert {failure.tries for failure in book.aside.values()} == {2}
    assert "lacks what it takes" in next(iter(book.aside.values())).message
    request = Request(configuration.load(chain), inputs[1:], tmp_path / "out")
    assert not plan(request).items
    assert len(plan(dataclasses.replace(request, again=True)).items) == 2
    with pytest.raises(RecoError, match="nothing to merge"):
        merge(tmp_path / "out", tmp_path / "m.h5")


def test_missing_items_keep_from_merging_unless_asked(chain, inputs, tmp_path):
    run(chain, inputs, tmp_path / "out", part=(1, 2))
    with pytest.raises(RecoError, match=r"2 items are missing, the first is .*events 4 to 8"):
        merge(tmp_path / "out", tmp_path / "m.h5")
    done = merge(tmp_path / "out", tmp_path / "m.h5", partial=True)
    assert done.missing == 2
    entries = columns(tmp_path / "m.h5")["events/entry"]
    assert entries.tolist() == [0, 1, 2, 3, 8, 9, 10, 4, 5]


def test_a_folder_holds_shards_of_one_kind(chain, inputs, tmp_path):
    run(chain, inputs, tmp_path / "out")
    with pytest.raises(RecoError, match="begun with 4 events per item"):
        run(chain, inputs, tmp_path / "out", size=5)
    chain.write_text(chain.read_text().replace("0.1", "0.7"))
    with pytest.raises(RecoError, match="made with other configuration"):
        run(chain, inputs, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(RecoError, match="holds other files"):
        run(chain, inputs, tmp_path / "mine")


def test_how_it_runs_is_no_part_of_what_it_is(chain, inputs, tmp_path):
    config = configuration.load(chain)
    other = configuration.load(chain, ["run.batch_size=7", "run.device=cpu"])
    assert Recipe.of(config) == Recipe.of(other)
    assert Recipe.of(config) != Recipe.of(configuration.load(chain, ["detector=icarus"]))


def test_weights_are_told_by_their_content(tmp_path):
    config = configuration.load("lartpc")
    own = tmp_path / "own.safetensors"
    shipped = Path(engine.__file__).parents[1] / "weights" / "segment.safetensors"
    shutil.copy(shipped, own)
    copied = configuration.load("lartpc", [f"stages.segment.weights={own}"])
    assert Recipe.of(copied) == Recipe.of(config)
    own.write_bytes(own.read_bytes() + b" ")
    assert Recipe.of(copied).differs(Recipe.of(config)) == "weights"


def test_a_second_writer_is_refused_and_told_of_the_first(chain, inputs, tmp_path):
    recipe = Recipe("a", "b", "c")
    with (
        writing(tmp_path / "out", recipe, 4),
        pytest.raises(RecoError, match=r"another run .*is writing it"),
        writing(tmp_path / "out", recipe, 4),
    ):
        pass


@pytest.mark.parametrize("name", ["../x.h5", "/etc/passwd", "shards/../../x.h5", "link/x.h5"])
def test_a_manifest_names_nothing_outside_its_folder(chain, inputs, tmp_path, name):
    run(chain, inputs, tmp_path / "out")
    (tmp_path / "out" / SHARDS / "link").symlink_to(tmp_path)
    with pytest.raises(RecoError, match="which is not below"):
        path_of(tmp_path / "out", name if name[0] != "l" else f"{SHARDS}/{name}")
    with sqlite3.connect(tmp_path / "out" / NAME) as db:
        db.execute("UPDATE shards SET name = ? WHERE start = 0", (name,))
    if name[0] != "l":
        with pytest.raises(RecoError, match="which is not below"):
            ledger(tmp_path / "out")
    with pytest.raises(RecoError, match="which is not below"):
        merge(tmp_path / "out", tmp_path / "m.h5")


def test_a_map_of_the_detector_is_told_by_its_content(chain, tmp_path):
    detector = yaml.safe_load((DETECTORS / "generic.yaml").read_text())
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**detector, "field_map": "map.h5"}))
    recipes = []
    for content in (b"a", b"b"):
        (tmp_path / "map.h5").write_bytes(content)
        recipes.append(Recipe.of(configuration.load(chain, [f"detector={file}"])))
    assert recipes[1].differs(recipes[0]) == "configuration"


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_manifest_says_so(chain, inputs, tmp_path, content):
    run(chain, inputs, tmp_path / "out")
    (tmp_path / "out" / NAME).write_bytes(content)
    with pytest.raises(RecoError, match="cannot be used as a manifest"):
        run(chain, inputs, tmp_path / "out")


def test_a_run_killed_before_its_first_record_goes_on(chain, inputs, tmp_path):
    (tmp_path / "out").mkdir()
    for left in (NAME, f"{NAME}-journal", f".{NAME}.lock"):
        (tmp_path / "out" / left).touch()
    assert len(run(chain, inputs, tmp_path / "out").shards) == 5


def test_numbers_of_events_are_recorded(chain, tmp_path):
    file = hits_file(tmp_path / "c.h5", [1.0], [], [13.0], [2.0], [17.0])
    book = run(chain, [file], tmp_path / "out")
    counts = np.array([(s.events, s.empty, s.failed) for _, s in book.shards.values()])
    assert counts.sum(axis=0).tolist() == [5, 1, 2]
