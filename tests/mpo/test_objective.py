"""Eq. 3, its threshold, and the draws of a step."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bnbench.mpo.objective import Targets, colour_targets, is_clamped, objective, weighted_objective
from bnbench.mpo.sampling import Cycle

pixels = st.lists(st.tuples(st.floats(0, 8), st.booleans()), min_size=1, max_size=20)


def by_hand(losses: list[float], black: list[bool], threshold: float) -> float:
    low = [loss for loss, is_black in zip(losses, black, strict=True) if is_black]
    high = [min(loss, threshold) for loss, is_black in zip(losses, black, strict=True) if not is_black]
    return (sum(low) / len(low) if low else 0.0) - (sum(high) / len(high) if high else 0.0)


@given(pixels, st.floats(0.1, 5))
def test_the_objective_is_eq_3(drawn: list[tuple[float, bool]], threshold: float) -> None:
    losses, black = map(list, zip(*drawn, strict=True))
    value = objective(torch.tensor(losses, dtype=torch.float64), torch.tensor(black), threshold)
    assert value.item() == pytest.approx(by_hand(losses, black, threshold), abs=1e-12)


@given(pixels, st.floats(0.1, 5), st.integers(1, 7))
def test_parts_of_chunks_add_up(drawn: list[tuple[float, bool]], threshold: float, chunk: int) -> None:
    losses = torch.tensor([loss for loss, _ in drawn], dtype=torch.float64)
    black = torch.tensor([is_black for _, is_black in drawn])
    targets = colour_targets(black)
    parts = [
        weighted_objective(losses[part], targets.part(part), threshold)
        for part in torch.arange(len(losses)).split(chunk)
    ]
    assert sum(parts, torch.zeros(())).item() == pytest.approx(objective(losses, black, threshold).item(), abs=1e-12)


@given(pixels, st.floats(0.1, 5))
def test_clamped_white_pixels_have_exactly_no_gradient(drawn: list[tuple[float, bool]], threshold: float) -> None:
    losses = torch.tensor([loss for loss, _ in drawn], dtype=torch.float64, requires_grad=True)
    black = torch.tensor([is_black for _, is_black in drawn])
    objective(losses, black, threshold).backward()
    assert losses.grad is not None
    clamped = is_clamped(losses.detach(), colour_targets(black), threshold)
    above = ~black & (losses.detach() > threshold)
    assert (losses.grad[above] == 0).all()
    assert (above <= clamped).all()
    assert (losses.grad[~clamped & black] > 0).all()
    assert (losses.grad[~clamped & ~black] < 0).all()


@given(
    st.lists(st.tuples(st.floats(0, 8), st.floats(-2, 2), st.booleans()), min_size=1, max_size=20), st.floats(0.1, 5)
)
def test_a_targets_sign_does_not_say_whether_it_is_clamped(
    drawn: list[tuple[float, float, bool]], threshold: float
) -> None:
    numbers = torch.tensor([(loss, weight) for loss, weight, _ in drawn], dtype=torch.float64)
    losses = numbers[:, 0].clone().requires_grad_()
    targets = Targets(numbers[:, 1], torch.tensor([has_threshold for *_, has_threshold in drawn]))
    value = weighted_objective(losses, targets, threshold)
    value.backward()
    terms = [weight * (min(loss, threshold) if clamps else loss) for loss, weight, clamps in drawn]
    assert value.item() == pytest.approx(sum(terms), abs=1e-12)
    clamped = [clamps and loss >= threshold for loss, _, clamps in drawn]
    assert is_clamped(losses.detach(), targets, threshold).tolist() == clamped
    assert losses.grad is not None
    for gradient, is_constant, (loss, weight, _) in zip(losses.grad.tolist(), clamped, drawn, strict=True):
        if loss != threshold:  # where torch takes the derivative of either side
            assert gradient == (0.0 if is_constant else weight)


@given(st.integers(1, 30), st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 1_000))
def test_a_cycle_visits_everything_once_a_round(count: int, draws: list[int], seed: int) -> None:
    cycle = Cycle(count, torch.Generator().manual_seed(seed))
    seen: Counter[int] = Counter()
    for number in draws:
        drawn = cycle.draw(number).tolist()
        assert len(drawn) == number
        assert set(drawn) <= set(range(count))
        if number <= count:
            assert len(set(drawn)) == number
        seen.update(drawn)
    rounds = [seen[item] for item in range(count)]
    assert max(rounds) - min(rounds) <= 1


def test_a_cycle_goes_on_from_its_state() -> None:
    cycle = Cycle(7, torch.Generator().manual_seed(0))
    cycle.draw(5)
    state = cycle.state_dict()
    state["generator"] = state["generator"].clone()
    expected = [cycle.draw(4).tolist() for _ in range(5)]
    other = Cycle(7, torch.Generator().manual_seed(9))
    other.load_state_dict(state)
    assert [other.draw(4).tolist() for _ in range(5)] == expected


def test_the_rounds_are_shuffled() -> None:
    cycle = Cycle(50, torch.Generator().manual_seed(0))
    rounds = [tuple(cycle.draw(50).tolist()) for _ in range(4)]
    assert len(set(rounds)) == 4


@pytest.mark.parametrize("black", [torch.tensor([1, 0]), torch.tensor([True, False, True])])
def test_colours_that_are_not_one_truth_value_for_each_loss_are_refused(black: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="truth value"):
        objective(torch.tensor([1.0, 3.0]), black, 2.5)
