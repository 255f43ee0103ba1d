"""Why nothing happens: said within seconds where no fit of a runner is under way, and again every minute."""

from __future__ import annotations

from collections.abc import Sequence

from bnbench.protocol.protocol import FitKey
from bnbench.results.claims import Progress
from bnbench.wording import counted, duration

_FIRST = 4.0  # seconds; whoever looks sees it within five
_AGAIN = 60.0


class Silence:
    """Finds the moment at which the user should hear why nothing happens.

    Args:
        now: in seconds, of a clock that never goes back.
    """

    def __init__(self, now: float) -> None:
        self._since, self._next = now, now + _FIRST

    def is_broken(self, now: float) -> None:
        """Know that something has happened."""
        self._since, self._next = now, now + _FIRST

    def word(self, now: float, held: Sequence[FitKey], others: Sequence[Progress], *, is_remote: bool) -> str:
        """Return what to say; empty as long as nothing is to be said: workers of this machine are only starting.

        Args:
            now: as above.
            held: fits of this sweep that another process holds.
            others: what other runners compute in the folder.
            is_remote: whether workers may be on other machines.
        """
        if now < self._next or not (held or is_remote):
            return ""
        self._next = now + _AGAIN
        return f"waiting for {duration(now - self._since)}: {_reason(held, others)}"


def _reason(held: Sequence[FitKey], others: Sequence[Progress]) -> str:
    if held:
        steps = {fit.key: f", step {fit.step:,}/{fit.steps:,}" for fit in others}
        named = f"{held[0]}{steps.get(held[0], '')}"
        return f"another process holds {counted(len(held), 'fit')} of those that are left, such as {named}"
    return (
        "no worker has begun a fit that this folder shows; there may be none, or those that do not share it "
        "are at work and tell of a fit at its end"
    )
