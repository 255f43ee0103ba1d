"""A curve that falls from 1 to ½ with the side of the mask, fitted by least squares; and the same without a form.

    right(x) = ½ + ½ / (1 + ¼ · (x / side)^slope)

is a logistic curve in log x; ``side`` is where 90 % are right. Letters: S sizes, D rows of means.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

LEVEL = 0.9  # the share that is right at an arm's side
_ODDS = (1 - LEVEL) / (LEVEL - 0.5)  # the ¼ of the formula
_BEYOND = math.log(4)  # how far beyond the sizes a fitted side may lie, in log side
_SLOPES = (math.log(0.5), math.log(60))
_FALLING = (0.51, 0.99)  # a curve's falling part: beyond it hardly anything tells one side or slope from another
_ROUNDS, _NEAR = 200, 1e-6  # of the fit: at most so many, until log side and log slope move less than this
Floats = NDArray[np.float64]


def right_at(sides: ArrayLike, side: ArrayLike, slope: ArrayLike) -> Floats:
    """Return the share that is right at some sides, after the formula above; the arguments broadcast."""
    odds = math.log(_ODDS) + np.asarray(slope) * (np.log(sides) - np.log(side))
    share: Floats = 0.5 + 0.5 / (1 + np.exp(np.clip(odds, -60, 60)))
    return share


def log_sides_at(level: float, log_sides: ArrayLike, slopes: ArrayLike) -> Floats:
    """Return the log side at which curves are at another level than 90 %; the arguments broadcast.

    Args:
        level: share of right pixels, between ½ and 1.
        log_sides: of the curves, at 90 %.
        slopes: of the curves.
    """
    further = math.log((1 - level) / (level - 0.5) / _ODDS)
    there: Floats = np.asarray(log_sides) + further / np.asarray(slopes)
    return there


def is_between_sizes(sides: Floats, log_sides: Floats, slopes: Floats) -> NDArray[np.bool_]:
    """Say of fitted curves whether fewer than two sizes lie on their falling part, or their slope is the largest.

    One size tells one number: side and slope of such a curve may change together and it fits as well as before.

    Args:
        sides: the sizes, shape (S,).
        log_sides: of the curves, shape (D,).
        slopes: of the curves, shape (D,).

    Returns:
        Shape (D,).
    """
    right = right_at(sides, np.exp(log_sides)[:, None], slopes[:, None])  # (D, S)
    falling = ((right > _FALLING[0]) & (right < _FALLING[1])).sum(axis=1)
    between: NDArray[np.bool_] = (falling < 2) | (np.log(slopes) >= _SLOPES[1] - _NEAR)
    return between


def isotonic_side(sides: Floats, means: Floats, level: float = LEVEL) -> float:
    """Return where the falling curve nearest to the means, straight in log side between sizes, is at a level.

    NaN where it crosses that level at no size.
    """
    falling = isotonic_regression(means, increasing=False).x
    if not falling[-1] < level <= falling[0]:
        return math.nan
    after = int(np.argmax(falling < level))
    (x, y), (next_x, next_y) = ((math.log(sides[place]), falling[place]) for place in (after - 1, after))
    return math.exp(x + (y - level) / (y - next_y) * (next_x - x))


def fit_curves(sides: Floats, means: Floats) -> tuple[Floats, Floats]:
    """Fit the formula above to many rows of means by least squares (Levenberg–Marquardt), all rows at once.

    Args:
        sides: the sizes, rising, shape (S,).
        means: right at each of them, shape (D, S).

    Returns:
        log side and slope, each of shape (D,). A row that does not cross the level has a log side beyond the sizes,
        by a factor of 4 at most.
    """
    logs = np.log(sides)
    bounds = np.array([[logs[0] - _BEYOND, _SLOPES[0]], [logs[-1] + _BEYOND, _SLOPES[1]]])
    found = np.stack([_first_guess(logs, means), np.full(len(means), math.log(5))], axis=1)  # log side, log slope
    damping = np.full(len(means), 1e-2)
    squares = _squares(logs, means, found)
    for _ in range(_ROUNDS):
        below = right_at(sides, np.exp(found[:, :1]), np.exp(found[:, 1:]))  # (D, S)
        steepness = 2 * (below - 0.5) * (1 - below) * np.exp(found[:, 1:])
        slopes = np.stack([steepness, -steepness * (logs - found[:, :1])], axis=2)  # (D, S, 2)
        normal, pull = slopes.transpose(0, 2, 1) @ slopes, np.einsum("dsk,ds->dk", slopes, means - below)
        normal += (damping[:, None] * np.einsum("dkk->dk", normal) + 1e-14)[:, :, None] * np.eye(2)
        tried = np.clip(found + np.linalg.solve(normal, pull[:, :, None])[:, :, 0], *bounds)
        new = _squares(logs, means, tried)
        is_better = new < squares
        moved = np.abs(tried - found).max(axis=1)
        found = np.where(is_better[:, None], tried, found)
        squares = np.where(is_better, new, squares)
        damping = np.clip(np.where(is_better, damping / 4, damping * 4), 1e-9, 1e9)
        if np.all((moved < _NEAR) | (damping >= 1e9)):
            break
    return found[:, 0], np.exp(found[:, 1])


def _first_guess(logs: Floats, means: Floats) -> Floats:
    """Return the log side where the lowest mean so far first falls below the level, a little beyond all else."""
    falling = np.minimum.accumulate(means, axis=1)
    places = (falling >= LEVEL).sum(axis=1)
    padded = np.concatenate([[logs[0] - 0.2], logs, [logs[-1] + 0.2]])
    guess: Floats = (padded[places] + padded[places + 1]) / 2
    return guess


def _squares(logs: Floats, means: Floats, found: Floats) -> Floats:
    off = means - right_at(np.exp(logs), np.exp(found[:, :1]), np.exp(found[:, 1:]))
    squares: Floats = (off**2).sum(axis=1)
    return squares
