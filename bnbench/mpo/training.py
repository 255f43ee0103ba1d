"""How a plane is trained: the objective's settings (eq. 3) and the optimizer's."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol

from bnbench.errors import RequestError

_CHOICES = {
    "minibatch": ("own", "shared"),
    "schedule": ("cosine", "constant"),
    "precision": ("float32", "tf32", "bfloat16"),
}
_WHOLE = ("black_pixels", "white_pixels", "images", "steps")
_POSITIVE = ("threshold", "learning_rate", "scale_rate", "clip")


class TrainingSettings(Protocol):
    """What the training loop reads; :class:`Training` is one, and so is the training section of a protocol."""

    @property
    def threshold(self) -> float:
        """Cross-entropy above which a white pixel is left alone."""

    @property
    def black_pixels(self) -> int:
        """Black pixels per step."""

    @property
    def white_pixels(self) -> int:
        """White pixels per step."""

    @property
    def images(self) -> int:
        """Training images in a pixel's minibatch."""

    @property
    def minibatch(self) -> str:
        """``own``, a minibatch for each pixel, or ``shared``, one for all pixels of a step."""

    @property
    def steps(self) -> int:
        """Training steps."""

    @property
    def optimizer(self) -> str:
        """``adam`` or ``sgd``, as :func:`~bnbench.mpo.optimizers.build_optimizer` makes them."""

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate."""

    @property
    def scale_rate(self) -> float:
        """Learning rate of the plane's scale s, as a multiple of ``learning_rate``."""

    @property
    def schedule(self) -> str:
        """``cosine`` or ``constant``, the learning rate over the steps."""

    @property
    def clip(self) -> float:
        """Largest gradient norm."""

    @property
    def precision(self) -> str:
        """``float32``, or products rounded to ``tf32`` or ``bfloat16``."""


@dataclass(frozen=True)
class Training:
    """Settings of :func:`bnbench.fit`, described at :class:`TrainingSettings`; by default those of ``compact``.

    Raises:
        RequestError: a setting has a value that the training loop does not know; the message names both.
    """

    threshold: float = 2.5
    black_pixels: int = 64
    white_pixels: int = 64
    images: int = 16
    minibatch: str = "own"
    steps: int = 12_000
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    scale_rate: float = 1.0
    schedule: str = "cosine"
    clip: float = 100.0
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise RequestError(f"{name}={value!r} is unknown; use {' or '.join(map(repr, choices))}.")
        for name in _WHOLE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise RequestError(f"{name}={value!r}: give a whole number of at least 1.")
        for name in _POSITIVE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not float(value) > 0:  # nor what is no number
                raise RequestError(f"{name}={value!r}: give a number above 0.")
