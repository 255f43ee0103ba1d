"""At which steps of a fit its landscape is measured: a number of steps, or the steps themselves."""

from __future__ import annotations

from dataclasses import dataclass

from bnbench.errors import RequestError
from bnbench.protocol.written_numbers import whole_number
from bnbench.wording import shown

_MOST = 1_000  # landscapes of a fit
_BEGIN = 100  # spaced steps start at the hundredth part of a fit: before that no landscape shows anything yet


@dataclass(frozen=True)
class MeasuredSteps:
    """Says at which steps of a fit its landscape is measured; the last step is always one of them.

    Attributes:
        count: how many steps, equally spaced in their logarithm from a hundredth of the fit's steps to the last;
            0 where the steps are named.
        named: the steps themselves, ascending; empty where they are counted.
    """

    count: int = 0
    named: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str, option: str = "--measure-at") -> MeasuredSteps:
        """Read a count, ``12``, or steps, ``100,300,1000``; a comma at the end names a single step, ``300,``.

        Raises:
            RequestError: anything but whole numbers from 1 on, a step twice, or too many.
        """
        read = [whole_number(part) for part in text.rstrip().removesuffix(",").split(",")]
        values = [step for step in read if step]
        if len(values) < len(read):
            raise RequestError(
                f"{option} {shown(text)}: give a number of steps, such as 12, or the steps themselves, such as "
                "100,300,1000."
            )
        count = len(values) if "," in text else values[0]
        if count > _MOST:
            raise RequestError(f"{option} {shown(text)} are {count:,} steps; give at most {_MOST:,}.")
        if len(set(values)) < len(values):
            raise RequestError(f"{option} {shown(text)} names a step twice; give each step once.")
        return cls(named=tuple(sorted(values))) if "," in text else cls(count)

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return ",".join(map(str, self.named)) + "," * (len(self.named) == 1) if self.named else str(self.count)

    def of(self, steps: int) -> tuple[int, ...]:
        """Return the steps at which a fit is measured, ascending, the last of them its last.

        Where a fit has fewer steps than are asked for, neighbours round to the same step, and it is taken once:

            round(first · (T / first)^(k / (count − 1))),  k = 0 … count − 1,  first = max(1, T / 100)

        Args:
            steps: of the fit, T.

        Raises:
            RequestError: a step is named that the fit does not reach.
        """
        if self.named and self.named[-1] > steps:
            raise RequestError(
                f"--measure-at {shown(self)}: a fit takes {steps:,} steps; leave out those beyond, such as "
                f"{self.named[-1]}."
            )
        first = max(1.0, steps / _BEGIN)
        spaced = (first * (steps / first) ** (k / (self.count - 1)) for k in range(self.count - 1))
        return tuple(sorted({*self.named, *(round(step) for step in spaced), steps}))
