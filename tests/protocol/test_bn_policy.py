"""BN policies: their text, what they need, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnbench.bn_policy import KINDS, NO_BN, BnPolicy
from bnbench.errors import RequestError
from bnbench.mpo.landscape import measure_landscape
from bnbench.protocol.profiles import PROFILES
from tests.cases import make_images, make_plane
from tests.mpo.test_landscape import SHAPE


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 999_999_999))
def test_a_policy_gives_its_text_back(kind: str, images: int) -> None:
    policy = BnPolicy.parse(f"{kind}:{images}")
    assert (policy.kind, policy.images, str(policy)) == (kind, images, f"{kind}:{images}")
    assert BnPolicy.parse_stored(str(policy)) == policy
    assert policy.reference == (images if kind == "recalibrate" else 0)


NO_POLICIES = ("", "batch", "batch:", "batch:0", "batch:064", "batch:1.5", "batch:\N{ARABIC-INDIC DIGIT THREE}", "none")


@pytest.mark.parametrize("text", [*NO_POLICIES, "running:5"])
def test_what_is_no_policy_is_refused_with_the_name_that_it_was_given_under(text: str) -> None:
    with pytest.raises(RequestError, match=f"^--bn-statistics {text}: .*batch:N .*recalibrate:N"):
        BnPolicy.parse(text, "--bn-statistics")


def test_results_without_bn_are_kept_under_none() -> None:
    assert (str(NO_BN), BnPolicy.parse_stored("none"), NO_BN.reference) == ("none", NO_BN, 0)
    found = measure_landscape(make_plane("plain"), SHAPE, make_images(), bn_statistics=NO_BN)
    assert found.loss.equal(measure_landscape(make_plane("plain"), SHAPE, make_images()).loss)
    with pytest.raises(RequestError, match="batch normalization"):
        measure_landscape(make_plane("bn"), SHAPE, make_images(), bn_statistics=NO_BN)


def test_policies_stand_in_the_order_of_their_kinds_and_numbers() -> None:
    texts = ["recalibrate:9", "batch:512", "none", "batch:64"]
    assert sorted(texts, key=BnPolicy.parse_stored) == ["batch:64", "batch:512", "none", "recalibrate:9"]


def test_a_protocol_keeps_the_text_and_gives_the_value() -> None:
    measurement = PROFILES["smoke"].with_knobs(bn_statistics="recalibrate:30").measurement
    assert (measurement.bn_statistics, measurement.bn_policy) == ("recalibrate:30", BnPolicy("recalibrate", 30))
