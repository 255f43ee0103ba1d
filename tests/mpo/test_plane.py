"""Eq. 1 and 2: properties of planes, for one, two and three directions."""

from __future__ import annotations

import math
import re
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bnbench.mpo.landscape import measure_landscape
from bnbench.mpo.plane import Plane, flatten, grid_coordinates
from bnbench.mpo.whole_fit import fit
from tests.cases import ARMS, make_images, make_plane
from tests.slow import frame_by_hand, frame_from_origin_by_hand, position


class Weights(nn.Module):
    """A network of n weights in two parameters."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(count - 2))
        self.second = nn.Parameter(torch.zeros(2))


def random_plane(directions: int, seed: int, count: int = 7, scale: float = 0.3, *, from_origin: bool = False) -> Plane:
    vectors = torch.randn(1 + directions, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Plane(Weights(count), vectors, scale, from_origin=from_origin)


@given(directions=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_directions_are_orthogonal_and_of_equal_length(directions: int, seed: int) -> None:
    plane = random_plane(directions, seed)
    inner = plane.frame()[1:] @ plane.frame()[1:].T
    length = (plane.scale * plane.vectors[-1].norm()).item() ** 2
    expected = length * torch.eye(directions, dtype=torch.float64)
    assert torch.allclose(inner, expected, rtol=1e-9, atol=1e-9 * length)


@given(directions=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_the_frame_spans_what_was_given(directions: int, seed: int) -> None:
    plane = random_plane(directions, seed)
    frame = plane.frame()
    assert torch.equal(frame[0], plane.vectors[0])
    assert torch.allclose(frame[-1], plane.scale * plane.vectors[-1])
    both = torch.cat([frame[1:], plane.vectors[1:]])
    assert torch.linalg.matrix_rank(both, rtol=1e-8) == directions
    # Gram–Schmidt keeps the side on which each free direction lies.
    assert ((frame[1:] * plane.vectors[1:]).sum(1) > 0).all()


@given(directions=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_directions_follow_the_paper(directions: int, seed: int) -> None:
    plane = random_plane(directions, seed)
    origin, *others = frame_by_hand(plane.vectors)
    expected = torch.stack([origin, *(plane.scale * direction for direction in others)])
    assert torch.allclose(plane.frame(), expected, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_right_from_the_origin_follows_the_authors_code(seed: int) -> None:
    plane = random_plane(2, seed, from_origin=True)
    origin, *others = frame_from_origin_by_hand(plane.vectors)
    expected = torch.stack([origin, *(plane.scale * direction for direction in others)])
    assert torch.allclose(plane.frame(), expected, rtol=1e-12, atol=1e-12)


@given(directions=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_directions_from_the_origin_are_orthogonal_as_long_as_right_and_reach_its_end(
    directions: int, seed: int
) -> None:
    plane = random_plane(directions, seed, from_origin=True)
    right = plane.vectors[1] - plane.vectors[0]
    inner = plane.frame()[1:] @ plane.frame()[1:].T
    length = (plane.scale * right.norm()).item() ** 2
    assert torch.allclose(inner, length * torch.eye(directions, dtype=torch.float64), rtol=1e-9, atol=1e-9 * length)
    end = torch.tensor([[1 / plane.scale.item(), *[0.0] * (directions - 1)]], dtype=torch.float64)
    assert torch.allclose(plane.weights_at(end)[0], plane.vectors[1], rtol=1e-9, atol=1e-9)


@given(
    seed=st.integers(0, 10_000),
    first=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    second=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    share=st.floats(-1, 2),
)
def test_weights_are_affine_in_the_coordinates(
    seed: int, first: tuple[float, float], second: tuple[float, float], share: float
) -> None:
    plane = random_plane(2, seed)
    ends = torch.tensor([first, second], dtype=torch.float64)
    between = (1 - share) * ends[:1] + share * ends[1:]
    weights = plane.weights_at(torch.cat([ends, between]))
    assert torch.allclose(weights[2], (1 - share) * weights[0] + share * weights[1], rtol=1e-9, atol=1e-9)
    assert torch.allclose(plane.weights_at(torch.zeros(1, 2, dtype=torch.float64))[0], plane.vectors[0])


@pytest.mark.parametrize("arm", ARMS)
def test_layer_weights_are_columns_of_the_weight_vectors(arm: str) -> None:
    plane = make_plane(arm)
    coordinates = grid_coordinates((3, 4))
    whole = plane.weights_at(coordinates)
    parts = plane.network_weights(plane.frame(), coordinates)
    assert torch.allclose(torch.cat([part.flatten(1) for part in parts], dim=1), whole, rtol=1e-14, atol=1e-14)
    assert [part.shape[1:] for part in parts] == [parameter.shape for parameter in plane.module.parameters()]
    assert all(part.is_contiguous() for part in parts)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_the_grid_is_centred_and_up_is_up(rows: int, columns: int) -> None:
    coordinates = grid_coordinates((rows, columns))
    assert torch.equal(coordinates.sum(0), torch.zeros(2, dtype=torch.float64))
    for pixel, (alpha, beta) in enumerate(coordinates.tolist()):
        assert (alpha, beta) == position(pixel, (rows, columns))
    corner = grid_coordinates((rows, columns), "corner")
    assert corner.min() == 0
    assert torch.equal(corner[(rows - 1) * columns], torch.zeros(2, dtype=torch.float64))
    assert torch.equal(corner - corner[0], coordinates - coordinates[0])


@pytest.mark.parametrize(("rows", "columns"), [(30, 30), (7, 7), (6, 9), (1, 4)])
def test_the_origin_may_be_the_middle_pixel_as_in_the_authors_code(rows: int, columns: int) -> None:
    found = grid_coordinates((rows, columns), "middle-pixel").tolist()
    for row, column in product(range(rows), range(columns)):
        assert found[row * columns + column] == [column - columns // 2, rows // 2 - row]


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_grid_of_any_number_of_axes_is_that_of_plain_loops(shape: list[int]) -> None:
    coordinates = grid_coordinates(shape)
    assert coordinates.shape == (math.prod(shape), len(shape))
    assert [tuple(place) for place in coordinates.tolist()] == [position(i, shape) for i in range(math.prod(shape))]
    corner = grid_coordinates(shape, "corner")
    assert torch.equal(corner.amin(0), torch.zeros(len(shape), dtype=torch.float64))
    assert torch.equal(corner - corner[0], coordinates - coordinates[0])


def test_a_space_is_a_pile_of_pictures() -> None:
    """Slice by slice α and β are those of a picture, and γ counts slices; a line runs to the right."""
    space = grid_coordinates((3, 4, 5)).view(3, 20, 3)
    for number, picture in enumerate(space):
        assert torch.equal(picture[:, :2], grid_coordinates((4, 5)))
        assert (picture[:, 2] == number - 1).all()
    assert grid_coordinates((4,)).flatten().tolist() == [-1.5, -0.5, 0.5, 1.5]


def test_an_unknown_origin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'middle' .*'centre', 'corner' .*'middle-pixel'"):
        grid_coordinates((3, 3), "middle")
    with pytest.raises(ValueError, match="no axis"):
        grid_coordinates(())


def test_from_factory_makes_independent_networks_and_leaves_the_global_stream() -> None:
    def factory() -> nn.Module:
        return nn.Linear(5, 3)

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    plane = Plane.from_factory(factory, torch.Generator().manual_seed(1), directions=2, scale=0.7)
    assert torch.equal(torch.rand(4), expected)
    assert plane.vectors.shape == (3, 18)
    assert plane.directions == 2
    assert plane.scale.item() == pytest.approx(0.7)
    assert len({tuple(vector.tolist()) for vector in plane.vectors}) == 3
    again = Plane.from_factory(factory, torch.Generator().manual_seed(1), directions=2)
    assert torch.equal(again.vectors, plane.vectors)


def test_only_the_frame_and_the_scale_are_trained() -> None:
    plane = random_plane(2, seed=0)
    assert {name for name, _ in plane.named_parameters()} == {"vectors", "scale"}
    assert sum(parameter.numel() for parameter in plane.parameters()) == 3 * 7 + 1


def test_casting_a_plane_casts_the_networks_buffers() -> None:
    class Shifted(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.register_buffer("shift_by", torch.ones(2))

    plane = Plane.from_factory(Shifted, torch.Generator().manual_seed(0)).double()
    assert plane.vectors.dtype == plane.module.get_buffer("shift_by").dtype == torch.float64


def test_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 6\).*\(1 \+ d, 7\)"):
        Plane(Weights(7), torch.zeros(3, 6))
    with pytest.raises(ValueError, match="direction"):
        Plane(Weights(7), torch.zeros(1, 7))
    with pytest.raises(ValueError, match="Flatten"):
        Plane(nn.Flatten(), torch.zeros(3, 0))


def test_flatten_keeps_the_order_of_the_parameters() -> None:
    network = nn.Linear(2, 2)
    assert flatten(network).tolist() == [*network.weight.flatten().tolist(), *network.bias.tolist()]


@pytest.mark.parametrize(("directions", "axes"), [pair for pair in product((1, 2, 3), range(5)) if pair[0] != pair[1]])
def test_a_grid_needs_an_axis_for_each_direction(directions: int, axes: int) -> None:
    plane, data = make_plane("plain", directions=directions), make_images()
    mask = (torch.arange(3**axes) % 2 == 0).view((3,) * axes)
    words = re.escape(f"shape {tuple(mask.shape)} has {axes} ax") + f".* directions={directions};"
    with pytest.raises(ValueError, match=words if axes else "one colour"):
        fit(plane, mask, torch.ones_like(mask), data)
    with pytest.raises(ValueError, match=words):
        measure_landscape(plane, mask.shape, data)


@pytest.mark.parametrize("directions", [0, -1])
def test_a_plane_without_directions_is_refused(directions: int) -> None:
    with pytest.raises(ValueError, match=f"directions={directions}: .*1"):
        make_plane("plain", directions=directions)


def test_a_factory_that_draws_no_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        Plane.from_factory(lambda: Weights(5), torch.Generator())
