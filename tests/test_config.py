from pathlib import Path

import pytest

from reco import config
from reco.errors import ConfigError
from reco.stages import STAGES

ROOT = Path(__file__).parents[1]


def write(folder: Path, text: str, name: str = "a.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_pipelines_are_valid(path):
    shipped = config.load(path)
    assert shipped == config.load(path.stem)
    assert set(shipped.stages) <= set(STAGES)


def test_defaults():
    empty = config.check({})
    assert (empty.detector, empty.run.batch_size, empty.output.internal) == ("generic", 16, None)
    assert config.threads(empty.run) >= 1
    assert config.threads(config.check({"run": {"threads": 3}}).run) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detecto: x", "unknown key; did you mean 'detector'? (allowed here: detector, input"),
        ("run: {devise: cpu}", "run.devise: unknown key; did you mean 'device'?"),
        ("input: {charg: q}", "input.charg: unknown key; did you mean 'charge'?"),
        ("input: {length_unit: inch}", "input.length_unit: input should be 'cm', 'mm' or 'm'"),
        ("run: {batch_size: 0}", "run.batch_size: input should be greater than or equal to 1"),
        ("run: {batch_size: many}", "run.batch_size: input should be a valid integer"),
        ("run: {device: gpu}", "run.device: string should match"),
        ("stages: {segmnt: {}}", "stages.segmnt: no such stage; did you mean 'segment'?"),
        ("stages: {segment: 3}", "stages.segment: input should be a valid dictionary (got 3)"),
        ("stages: [segment]", "stages: input should be a valid dictionary"),
        ("- a\n- b", "must hold `key: value` lines"),
        ("", "must hold `key: value` lines"),
        ("run: {batch_size: [", "line 1: not valid YAML"),
        ("run:\n  threads: 1\n  threads: 2", "line 3: not valid YAML: key 'threads' stands twice"),
        ("run: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_mistakes_are_named_with_file_and_path(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        config.load(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_every_mistake_has_a_line():
    with pytest.raises(ConfigError) as error:
        config.check({"run": {"batch_size": 0, "threads": -1}, "x": 1})
    assert len(str(error.value).splitlines()) == 3


def test_base(tmp_path):
    write(
        tmp_path, "run: {batch_size: 4, threads: 2}\nstages: {points: {}, labels: {}}", "base.yaml"
    )
    path = write(tmp_path, "base: base.yaml\nrun: {threads: 3}\nstages: {labels: off, segment: }")
    loaded = config.load(path)
    assert (loaded.run.batch_size, loaded.run.threads) == (4, 3)
    assert list(loaded.stages) == ["points", "segment"]


def test_a_shipped_pipeline_is_a_base_from_anywhere(tmp_path):
    for name in ("lartpc", "lartpc.yaml"):
        loaded = config.load(write(tmp_path, f"base: {name}\nrun: {{batch_size: 5}}"))
        assert loaded.run.batch_size == 5
        assert "segment" in loaded.stages


def test_a_base_has_no_base(tmp_path):
    write(tmp_path, "base: b.yaml", "b.yaml")
    with pytest.raises(ConfigError, match="cannot have a base of its own"):
        config.load(write(tmp_path, "base: b.yaml"))
    with pytest.raises(ConfigError, match=r"base: 'none\.yaml' is neither beside it"):
        config.load(write(tmp_path, "base: none.yaml"))


def test_overrides(tmp_path):
    path = write(tmp_path, "stages: {points: {min_score: 0.4}, 'my.own:Stage': {a: 1}}")
    overrides = ["run.batch_size=3", "stages.points.min_score=0.5", "stages.my.own:Stage.a=[1, 2]"]
    loaded = config.load(path, [*overrides, "input.x=hit_x", "stages.labels=off"])
    assert loaded.run.batch_size == 3
    assert loaded.input.x == "hit_x"
    assert loaded.stages == {"points": {"min_score": 0.5}, "my.own:Stage": {"a": [1, 2]}}


@pytest.mark.parametrize("override", ["run.batch_size", "=3", "run..x=3", ".run=3"])
def test_malformed_override(override):
    with pytest.raises(ConfigError, match=r"key\.path=value"):
        config.of_overrides([override])


def test_override_below_a_value():
    with pytest.raises(ConfigError, match="'detector' holds the value 'x', not keys"):
        config.of_overrides(["detector=x", "detector.y=3"])


def test_what_is_not_there():
    with pytest.raises(ConfigError, match=r"'lartcp': no such file.*lartpc"):
        config.load("lartcp")


def test_a_detector_beside_the_pipeline(tmp_path):
    write(tmp_path, "name: mine", "mine.yaml")
    path = write(tmp_path, "detector: mine.yaml")
    assert config.load(path).detector == str(tmp_path / "mine.yaml")


def test_resolved_configuration_can_be_loaded_again():
    shipped = config.load("lartpc", ["run.threads=2", "input.length_unit=mm"])
    assert config.check(shipped.model_dump(mode="json")) == shipped


def test_aliases_count_as_what_they_stand_for(tmp_path):
    lines = [f"l{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 7)]
    text = "\n    ".join(["stages:\n  points:", "l0: &a0 [1, 2]", *lines])
    with pytest.raises(ConfigError, match=r"a\.yaml, line 1: .*more than 1000000 characters"):
        config.load(write(tmp_path, text))
    few = config.load(write(tmp_path, text.partition("    l4:")[0])).stages["points"]
    assert set(few) == {"l0", "l1", "l2", "l3"}


def test_an_alias_is_what_it_names(tmp_path):
    text = "stages: {points: &p {min_score: 0.5}, fragments: *p}"
    loaded = config.load(write(tmp_path, text))
    assert loaded.stages["fragments"] == loaded.stages["points"] == {"min_score": 0.5}
