"""The headline of a fit's summary: one row, whoever asks."""

from __future__ import annotations

import pandas as pd
import pytest

from bnbench.protocol.protocol import FitKey
from bnbench.results.summary import TRAIN, headline_rows, measured_rows
from tests.fits import TINY, make_result


@pytest.mark.parametrize("pixels", ["all", "trained"])
@pytest.mark.parametrize("arm", ["plain", "bn"])
@pytest.mark.parametrize("split", ["test", "held-out"])
def test_the_headline_is_one_row_on_the_images_and_under_the_policy_that_were_asked_for(
    pixels: str, arm: str, split: str
) -> None:
    protocol = TINY.with_knobs(split=split)
    summary = make_result(FitKey(arm, 0.5, 1), protocol=protocol).summary
    other = summary[summary["split"] == split].assign(policy="batch:7", headline=False, black=0.0)
    summary = pd.concat([other, summary], ignore_index=True)
    (row,) = headline_rows(summary, pixels).to_dict("records")
    assert (row["split"], row["pixels"], row["headline"]) == (split, pixels, True)
    assert row["policy"] == (protocol.measurement.bn_statistics if arm == "bn" else "none")
    assert len(measured_rows(summary, pixels)) == 2
    assert TRAIN not in set(measured_rows(summary, pixels)["split"])


def test_a_sweep_has_a_headline_for_each_fit() -> None:
    keys = [FitKey(arm, 0.5, seed) for arm in ("plain", "bn") for seed in (1, 2)]
    summaries = pd.concat([make_result(key).summary.assign(arm=key.arm, seed=key.seed) for key in keys])
    assert len(headline_rows(summaries).drop_duplicates(["arm", "seed"])) == len(headline_rows(summaries)) == len(keys)
