"""The sections of a protocol: every knob with its sentence, its default and the values it accepts.

This module imports no torch, so that the command line can describe itself quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnbench.bn_policy import BnPolicy
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.knobs import Section, knob
from bnbench.protocol.mask_sizes import LARGEST_SIDE
from bnbench.protocol.picture_text import picture_bits

SPLITS = ("test", "held-out")
PRECISIONS = ("float32", "tf32", "bfloat16")
_COUNTS = "give whole numbers of at least 1 separated by commas, such as 8,8,16"


@dataclass(frozen=True)
class DataProtocol(Section):
    """Which images a fit sees and how they are prepared."""

    dataset: str = knob("Data set.", "fashion-mnist", choices=tuple(DATASETS))
    grey: bool = knob("Turn images in colour into grey ones.", False, neutral=False)
    pool: int = knob("Average-pool the images by this factor.", 4, minimum=1)
    inputs: str = knob(
        "What a network sees: images standardized by those trained on, or their pixels in [0, 1].",
        "standardized",
        choices=("standardized", "unit"),
        neutral="standardized",
    )
    held_out: int = knob("Last training images set aside for tuning, never trained on.", 10_000, minimum=0)


@dataclass(frozen=True)
class NetworkProtocol(Section):
    """The network of every built-in arm; they differ in normalization, connections and activation alone."""

    widths: tuple[int, ...] = knob(
        "Channels of the 3×3 convolutions.", (8, 8, 16, 16, 32, 32), minimum=1, wanted=_COUNTS
    )
    strides: tuple[int, ...] = knob("Stride of each convolution.", (1, 1, 2, 1, 1, 1), minimum=1, wanted=_COUNTS)
    map_size: int = knob("Adaptive average pool before the hidden layer; 0 leaves it out.", 0, minimum=0)
    hidden: int = knob("Units of the hidden layer.", 64, minimum=1)
    initial_weights: str = knob(
        "Initial weights: Xavier-uniform and biases of 0, or torch's own, both from U[-1/√inputs, 1/√inputs].",
        "xavier",
        choices=("xavier", "torch"),
        neutral="xavier",
    )
    gain: float = knob("Gain of the Xavier-uniform initial weights.", 2**0.5, above=0.0)
    bn_scale: str = knob(
        "Fresh BN scale: U[-0.5, 0.5] + 0.5 as the paper, or 0 + 1.",
        "uniform+0.5",
        choices=("uniform+0.5", "zero+1"),
    )


@dataclass(frozen=True)
class MaskProtocol(Section):
    """How the picture that the landscape is bent to is drawn and laid on the plane."""

    mask_size: tuple[int, int] = knob(
        "Rows and columns of the mask, as 30 or 30x20; 14,20,28 runs a sweep for each size.",
        (30, 30),
        minimum=3,
        maximum=LARGEST_SIDE,
        length=2,
        separator="x",
        wanted="give rows and columns of at least 3, such as 30 or 30x20",
    )
    picture: str = knob(
        "Picture in place of random masks, NAME:BITS as --mask leaves it.", "", neutral="", reads=picture_bits
    )
    mask_kind: str = knob("Plain random, or random inside a drawn frame.", "random", choices=("random", "framed"))
    origin: str = knob("Where (α, β) = (0, 0) lies.", "centre", choices=("centre", "corner", "middle-pixel"))


@dataclass(frozen=True)
class TrainingProtocol(Section):
    """Objective (eq. 3) and optimization: the settings of ``bnbench.fit``."""

    threshold: float = knob("White pixels above this cross-entropy are left alone.", 2.5, above=0.0)
    black_pixels: int = knob("Black pixels per step.", 64, minimum=1)
    white_pixels: int = knob("White pixels per step.", 64, minimum=1)
    images: int = knob("Training images in a pixel's minibatch.", 16, minimum=2)
    minibatch: str = knob(
        "A minibatch for each pixel, or one shared by all pixels of a step.", "own", choices=("own", "shared")
    )
    steps: int = knob("Training steps.", 12_000, minimum=1)
    optimizer: str = knob(
        "Rule of the steps: Adam, or SGD with momentum 0.9.", "adam", choices=("adam", "sgd"), neutral="adam"
    )
    learning_rate: float = knob("The optimizer's learning rate.", 2e-3, above=0.0)
    scale_rate: float = knob("Learning rate of the plane's scale s, as a multiple of --learning-rate.", 1.0, above=0.0)
    schedule: str = knob("Learning rate over the steps.", "cosine", choices=("cosine", "constant"))
    initial_scale: float = knob("The plane's scale s at the start.", 0.1, above=0.0)
    directions: str = knob(
        "Directions of the plane: free vectors (eq. 2), or right from the origin, φ - w_O, and up orthogonal to it.",
        "free",
        choices=("free", "from-origin"),
        neutral="free",
    )
    clip: float = knob("Largest gradient norm.", 100.0, above=0.0)
    precision: str = knob(
        "Arithmetic of training: float32; tf32 or bfloat16 round products and are faster on a GPU.",
        "float32",
        choices=PRECISIONS,
        neutral="float32",
    )


@dataclass(frozen=True)
class MeasurementProtocol(Section):
    """What is measured at every pixel once the fit has ended."""

    split: str = knob("Images that the accuracies are measured on.", "test", choices=SPLITS)
    test_images: int = knob("First images of that split to measure on; 0 takes all.", 1_000, minimum=0)
    train_images: int = knob(
        "First training images on which training loss and accuracy are measured.", 1_000, minimum=2
    )
    bn_statistics: str = knob(
        "BN statistics at evaluation: batch:N or recalibrate:N images.",
        "batch:512",
        reads=BnPolicy.parse,
    )

    @property
    def bn_policy(self) -> BnPolicy:
        """Return the policy that ``bn_statistics`` names."""
        return BnPolicy.parse(self.bn_statistics)
