"""A sample says how it was made, and is made again from that."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from reco.cli.simulate import Request, plan_of
from reco.data.products import Header
from reco.errors import FormatError
from reco.io.store import Writer
from reco.simulate.generate import Plan
from reco.simulate.response import PERFECT

REQUEST = Request("mixed", 10, 0, 1, "generic", (), 0.0)
PLAN = Plan("vertex", events=3, seed=9, response=replace(PERFECT, dead=0.1), spread=0.1)


def written(path, facts):
    with Writer(path, facts) as out:
        out.write([Header(*(np.zeros(1, np.int64) for _ in range(4)))])
    return path


def test_the_plan_in_a_file_is_the_plan_it_was_made_with(tmp_path):
    path = written(tmp_path / "a.h5", {"simulated": asdict(PLAN)})
    again = replace(REQUEST, like=path)
    assert plan_of(again) == PLAN
    changes = ("response.noise=1.5", "options.hadronic=FTF_BIC")
    noisier = replace(PLAN.response, noise=1.5)
    options = replace(PLAN.options, hadronic="FTF_BIC")
    wanted = replace(PLAN, response=noisier, options=options)
    assert plan_of(replace(again, changes=changes)) == wanted


def test_a_file_that_was_not_simulated(tmp_path):
    path = written(tmp_path / "a.h5", {})
    with pytest.raises(FormatError, match="does not say how it was simulated"):
        plan_of(replace(REQUEST, like=path))
