"""Random streams: keyed by (stream, p, seed), the same everywhere, whatever ran before."""

from __future__ import annotations

from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch

from bnbench.inputs.seeds import Stream, seed_sequence, torch_generator

STREAMS: tuple[Stream, ...] = get_args(Stream)


def test_every_key_has_a_stream_of_its_own() -> None:
    keys = list(product(STREAMS, [1, 100, 500, 501, 999], [1, 2, 100, 500]))
    assert len({tuple(seed_sequence(*key).generate_state(4)) for key in keys}) == len(keys)
    assert len({torch_generator(*key).initial_seed() for key in keys}) == len(keys)


def test_p_and_seed_are_not_interchangeable() -> None:
    assert torch_generator("weights", 100, 200).initial_seed() != torch_generator("weights", 200, 100).initial_seed()


def test_a_key_gives_the_same_numbers_whatever_ran_before() -> None:
    first = torch.randn(5, generator=torch_generator("images", 500, 1))
    seed_sequence("images", 500, 1).spawn(3)
    torch.manual_seed(0)
    np.random.seed(0)
    torch.randn(100, generator=torch_generator("images", 500, 2))
    assert torch.equal(torch.randn(5, generator=torch_generator("images", 500, 1)), first)


def test_drawing_leaves_torchs_own_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    torch.randn(100, generator=torch_generator("weights", 500, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_live_on_the_cpu() -> None:
    assert torch_generator("weights", 500, 1).device.type == "cpu"


@pytest.mark.parametrize(
    ("stream", "seed"),
    [
        ("mask", 5351523798194496061),
        ("weights", 5137184662112089440),
        ("pixels", 8727478804191807334),
        ("images", 1169505853006654070),
    ],
)
def test_streams_are_the_committed_ones(stream: Stream, seed: int) -> None:
    assert torch_generator(stream, 500, 1).initial_seed() == seed
