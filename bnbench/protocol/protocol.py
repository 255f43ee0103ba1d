"""What is asked: protocols (profiles), the fits of a grid, and their identities.

A :class:`Protocol` holds everything that changes numbers and nothing else: no device, no thread count, no chunk size.
Its hash is stored with every result. This module imports no torch, as :mod:`bnbench.protocol.sections`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from bnbench.errors import KnobError, RequestError
from bnbench.protocol.datasets import DATASETS
from bnbench.protocol.knobs import list_text
from bnbench.protocol.picture_text import check_picture
from bnbench.protocol.sections import (
    DataProtocol,
    MaskProtocol,
    MeasurementProtocol,
    NetworkProtocol,
    TrainingProtocol,
)
from bnbench.wording import counted

# Raised whenever the code changes the numbers that an unchanged protocol gives, by more than the order of sums.
REVISION = 1

_LARGEST_SEED = 2**31 - 1  # as a fit's table stores it
OF_THE_PAPER = ("plain", "bn", "skip")  # the arms of the paper and of its code
# Arms that bnbench.arms.networks makes, in the order of every list of them.
BUILT_IN = (
    *(*OF_THE_PAPER, "bn-skip", "groupnorm", "layernorm", "standardized"),
    *("softplus", "softplus-centred", "rescaled"),
)
NORMALIZED = ("bn", "bn-skip")  # those of them that have batch normalization
WITH_SCALES = (*NORMALIZED, "groupnorm", "layernorm")  # those that have a scale and a shift for each channel


def is_own_arm(arm: str) -> bool:
    """Say whether an arm is a user's own, ``package.module:factory``, and none that is built in."""
    return ":" in arm


def check_arm_name(arm: str) -> None:
    """Refuse a name that no arm can have, before anything is loaded for it.

    Raises:
        RequestError: the name is neither a built-in arm's nor ``package.module:factory``.
    """
    if not is_own_arm(arm) and arm not in BUILT_IN:
        raise RequestError(f"--arms {arm} is unknown; use {', '.join(BUILT_IN)} or package.module:factory.")


@dataclass(frozen=True)
class Protocol:
    """A complete protocol: everything that changes the numbers of a fit, and nothing else.

    ``revision`` is that of the code which the numbers are from; a stored protocol keeps its own. ``content`` is the
    digest of the images (:func:`bnbench.inputs.datasets.digest_of`) where they are not the known ones of that data set
    (:mod:`bnbench.protocol.datasets`), and empty where they are: then it is not part of the hash, and results from
    before digests were kept go on. A sweep fills it in once its data are loaded; from there it is part of every fit's
    identity.
    """

    profile: str
    data: DataProtocol = field(default_factory=DataProtocol)
    network: NetworkProtocol = field(default_factory=NetworkProtocol)
    mask: MaskProtocol = field(default_factory=MaskProtocol)
    training: TrainingProtocol = field(default_factory=TrainingProtocol)
    measurement: MeasurementProtocol = field(default_factory=MeasurementProtocol)
    revision: int = REVISION
    content: str = ""

    def __post_init__(self) -> None:
        widths, strides = self.network.widths, self.network.strides
        if len(widths) != len(strides):
            raise KnobError(
                f"--widths {list_text(widths)} names {counted(len(widths), 'convolution')} but "
                f"--strides {list_text(strides)} names {len(strides)}: give one stride for each."
            )
        check_picture(self.mask.picture, self.mask.mask_size, self.mask.mask_kind)

    @cached_property  # a plan over thousands of fits asks for it thousands of times
    def hash(self) -> str:
        """Return twelve hexadecimal digits over every field that changes numbers (the name does not)."""
        plain = {**self.as_dict(), "profile": None}
        for name, section in SECTIONS.items():
            for knob_name, neutral in _neutral_values(section).items():
                if getattr(getattr(self, name), knob_name) == neutral:
                    del plain[name][knob_name]
        if self.mask.picture:  # whatever the picture is called
            plain["mask"]["picture"] = self.mask.picture.partition(":")[2]
        text = json.dumps(plain, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def id(self) -> str:
        """Name and hash, such as ``quick-3f09a1b2c4d5``."""
        return f"{self.profile}-{self.hash}"

    @property
    def images(self) -> str:
        """Return the images of its fits, in words, such as ``mnist, digest 0123456789ab`` or ``the known digits``."""
        name = self.data.dataset
        if not DATASETS[name].digest:
            return f"{name}, digest {self.content}" if self.content else f"{name}, digest not recorded"
        return f"other images than the known {name}, digest {self.content}" if self.content else f"the known {name}"

    def as_dict(self) -> dict[str, Any]:
        """Return the protocol as nested plain values, as JSON stores it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.content:
            del plain["content"]  # as it was before there was one: earlier versions read it, too
        return plain

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Protocol:
        """Read back what :meth:`as_dict` wrote.

        Raises:
            RequestError: a section or field is missing or unknown, or a value is not accepted.
        """
        try:
            sections = {name: _section_from(section, stored[name]) for name, section in SECTIONS.items()}
            own = {"profile": stored["profile"], "revision": stored["revision"], "content": stored.get("content", "")}
            if [type(value) for value in own.values()] != [str, int, str]:
                raise TypeError(", ".join(f"{name} {value!r}" for name, value in own.items()))
            return cls(**own, **sections)
        except (KeyError, TypeError, AttributeError) as error:
            raise RequestError(f"not a protocol of this version of bnbench ({error})") from error

    def with_knobs(self, **changes: Any) -> Protocol:
        """Return a copy with the named knobs changed, whichever section they belong to.

        Raises:
            RequestError: a name is no knob, or a value is not accepted.
        """
        if unknown := changes.keys() - dict(self.knobs()).keys():
            raise RequestError(
                f"no knob is named {', '.join(sorted(unknown))}; the knobs are {', '.join(dict(self.knobs()))}."
            )
        sections = {
            name: replace(getattr(self, name), **{key: changes[key] for key in _knob_names(section) & changes.keys()})
            for name, section in SECTIONS.items()
        }
        return replace(self, **sections)

    def differences(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """Return the knobs in which two protocols differ: name to (own value, other's value)."""
        mine, theirs = dict(self.knobs()), dict(other.knobs())
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def knobs(self) -> Iterator[tuple[str, Any]]:
        """Return every knob's name and value, in order of the sections."""
        for name, section in SECTIONS.items():
            for knob_field in fields(section):
                yield knob_field.name, getattr(getattr(self, name), knob_field.name)


@dataclass(frozen=True, order=True)
class FitKey:
    """One fit of a grid: the replicate (p, seed) and the arm.

    Attributes:
        arm: name of an arm, or ``package.module:factory`` for a user's own.
        p: fill probability, the chance that a pixel is black; a multiple of 0.001 in (0, 1).
        seed: replicate, from 1.
    """

    arm: str
    p: float
    seed: int

    @property
    def permille(self) -> int:
        """Return the fill probability in thousandths, which is what the random streams are keyed by."""
        return round(1000 * self.p)

    def __str__(self) -> str:
        return f"{self.arm} p={self.p:g} seed={self.seed}"


def check_key(key: FitKey) -> None:
    """Check a key that was read from a file.

    Raises:
        ValueError: a part of it is no arm's name, no fill probability or no seed.
    """
    if type(key.arm) is not str or not key.arm.isprintable() or not key.arm:
        raise ValueError("its arm is no name")
    if type(key.p) is not float or not 0 < key.p < 1 or key.p != key.permille / 1000:
        raise ValueError(f"its p is {key.p!r}, not a number of thousandths between 0 and 1")
    if type(key.seed) is not int or not 1 <= key.seed <= _LARGEST_SEED:
        raise ValueError(f"its seed is {key.seed!r}, not a whole number from 1")


@dataclass(frozen=True)
class Grid:
    """Arms × fill probabilities × seeds."""

    arms: tuple[str, ...]
    probs: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of fits, without listing them."""
        return len(self.arms) * len(self.probs) * len(self.seeds)

    def fits(self) -> list[FitKey]:
        """Return every fit, seed outermost: an unfinished sweep is a whole figure with fewer seeds."""
        return [FitKey(arm, p, seed) for seed in self.seeds for p in self.probs for arm in self.arms]

    def shard(self, number: int, of: int) -> list[FitKey]:
        """Return one of so many shares of the fits: every ``of``-th from the ``number``-th on, from 1."""
        return self.fits()[number - 1 :: of]

    def __str__(self) -> str:
        counts = {"arm": len(self.arms), "probability": len(self.probs), "seed": len(self.seeds)}
        factors = " × ".join(counted(number, word) for word, number in counts.items())
        return f"{counted(self.count, 'fit')} = {factors}"


SECTIONS: dict[str, Any] = {
    "data": DataProtocol,
    "network": NetworkProtocol,
    "mask": MaskProtocol,
    "training": TrainingProtocol,
    "measurement": MeasurementProtocol,
}


def _section_from(section: Any, stored: Mapping[str, Any]) -> Any:
    values = {**_neutral_values(section), **stored}
    if values.keys() != _knob_names(section):
        raise KeyError(", ".join(sorted(values.keys() ^ _knob_names(section))))
    return section(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _neutral_values(section: Any) -> dict[str, Any]:
    """Return knobs that were added later: the value at which they change nothing, which a hash leaves out."""
    return {field.name: field.metadata["neutral"] for field in fields(section) if "neutral" in field.metadata}


def _knob_names(section: Any) -> set[str]:
    return {knob_field.name for knob_field in fields(section)}
