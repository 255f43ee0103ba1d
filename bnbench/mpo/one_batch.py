"""Several fits, each in a thread of its own, that take their steps together: as one batch, by one recording.

Each thread calls ``advance`` of its own fit, and waits there for the others; whoever comes last takes the step of all.
So a fit's claim, checkpoint, trace, end and failure stay its thread's own. One that leaves costs the others a new
recording, as wide as before; those of one protocol that have begun together end together, and cost none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch

from bnbench.mpo.together import are_alike
from bnbench.mpo.whole_step import Recorder, WholeStep

if TYPE_CHECKING:
    from bnbench.mpo.fit import Fit

_PATIENCE = 120.0  # seconds that the first fits wait for those that are still being prepared
_MOMENT = 2.0  # seconds that they wait for those that nobody has announced
_LOOK = 0.5  # seconds between two looks at that


class HaltedError(Exception):
    """A step of a batch was not taken, and no fit of it has changed: another one of its fits has been told to stop."""


class Batch:
    """Fits of an arm that are one batch: whoever comes late, or leaves, makes another one of those that are there.

    Args:
        size: how many there may be; the first step of fewer waits a moment for those that nobody has announced yet.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._turn = threading.Condition()
        self._members: list[Member] = []
        self._arrived: set[Member] = set()
        self._expected = self._width = 0
        self._has_begun = self._is_halted = False
        self._whole: WholeStep | None = None
        self._stream: torch.cuda.Stream | None = None  # of all steps, so that each one follows the one before

    def expect(self, change: int = 1) -> None:
        """Say that so many more fits will join, or fewer: the first step waits for all that are expected."""
        with self._turn:
            self._expected = max(0, self._expected + change)
            self._turn.notify_all()

    @contextmanager
    def joined(self, fit: Fit, order: tuple[float, ...] = ()) -> Iterator[None]:
        """Have a fit take its steps together with the others, within; it goes alone where it is not like them.

        Args:
            fit: of this thread.
            order: where it stands among them, whoever comes first, so that the same fits always make the same batch.
        """
        member = None
        try:
            with self._turn:
                fits = fit, *(member.fit for member in self._members)
                if isinstance(fit.whole, WholeStep) and all(are_alike(fit, other) for other in fits):
                    member = Member(self, fit, fit.whole, order)
                    member.on_stream.enter_context(self._on_one_stream(fit))
                    fit.whole = member
                    self._change([*self._members, member])
            yield
        finally:
            if member:
                self.leave(member)

    def leave(self, member: Member) -> None:
        """Let a fit go on alone, on its thread's own stream, and the others without it, whatever fails at that."""
        with member.on_stream, self._turn:
            if member.fit.whole is member:
                member.fit.whole = member.alone
            if member in self._members:
                self._change([other for other in self._members if other is not member])

    def halt(self) -> None:
        """Let nobody take another step until all have left: each is to stop where the others do, for its own bits."""
        with self._turn:
            self._is_halted = True
            self._turn.notify_all()

    def _change(self, members: list[Member]) -> None:
        """Be another batch from now on; nobody waits for whoever has left, even where draws cannot be put back."""
        self._members = sorted(members, key=lambda member: member.order)
        self._arrived &= {*members}
        if not members:
            self._has_begun = self._is_halted = False
            self._width = 0
        self._turn.notify_all()
        self._end_recording()

    def _end_recording(self) -> None:
        """Forget what was recorded, and drawn ahead, of the batch before; the next step does so where this fails."""
        self.put_draws_back()
        if self._whole and self._stream:
            self._stream.synchronize()  # what a recording has launched still uses its memory
        self._whole = None

    def put_draws_back(self) -> None:
        """Put the draws of all fits back to the step that each is at."""
        with self._turn:
            if self._whole:
                self._whole.put_draws_back()

    def advance(self, member: Member) -> bool:
        """Wait for the others, and return whether a step of all was taken; False where it cannot be, for good.

        Raises:
            HaltedError: no step is taken any more.
        """
        came = time.monotonic()
        with self._turn:
            self._arrived.add(member)
            while member in self._arrived:
                if self._is_halted:
                    self._arrived.remove(member)
                    raise HaltedError
                if len(self._arrived) == len(self._members) and self._begins(time.monotonic() - came):
                    self._take(member)
                else:
                    self._turn.wait(_LOOK)
            return not member.refusal

    def _begins(self, waited: float) -> bool:
        """Say whether a step is to be taken by those that are there, of whom one has waited for so many seconds."""
        is_whole = not self._expected and (len(self._members) >= self.size or waited > _MOMENT)
        return self._has_begun or is_whole or waited > _PATIENCE

    def _take(self, last: Member) -> None:
        """Take the step that all have come for."""
        fits = [member.fit for member in self._members]
        self._has_begun = True
        refusal = ""
        try:
            if self._whole and self._whole.fits != (*fits,):
                self._end_recording()
            if not self._whole:
                self._width = max(len(fits), self._width, *(fit.batched[-1] for fit in fits if fit.batched))
                self._whole = WholeStep(fits, last.record, self._width)
            if not self._whole.advance():
                refusal = self._whole.refusal
        except BaseException as error:
            refusal = f"{type(error).__name__} in the step of all"
            raise
        finally:
            if refusal:
                for member in self._members:
                    member.refusal = refusal
            self._arrived.clear()
            self._turn.notify_all()

    @contextmanager
    def _on_one_stream(self, fit: Fit) -> Iterator[None]:
        """Have this thread compute on the stream of the batch, within; a processor has none."""
        device = fit.sums.device
        if device.type != "cuda":
            yield
            return
        with self._turn:
            self._stream = self._stream or torch.cuda.Stream(device)
        own = torch.cuda.current_stream(device)
        self._stream.wait_stream(own)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            own.wait_stream(self._stream)


class Member:
    """A fit's place in a batch: it stands where the recording of its own steps would.

    Args:
        batch: that it belongs to.
        fit: whose place.
        alone: the recording of its own steps, which it goes on with where those of all cannot be recorded.
        order: its place among the others.

    Attributes:
        refusal: why the batch takes no steps; empty while it does.
        on_stream: what its thread is in while it computes on the stream of the batch.
    """

    def __init__(self, batch: Batch, fit: Fit, alone: WholeStep, order: tuple[float, ...]) -> None:
        self.batch, self.fit, self.alone, self.order, self.refusal = batch, fit, alone, order, ""
        self.on_stream = ExitStack()

    @property
    def record(self) -> Recorder:
        """Return what records a step."""
        return self.alone.record

    def advance(self) -> bool:
        """Take a step together with the others, or alone where that is refused; return whether it was taken.

        Raises:
            HaltedError: another one of the batch has been told to stop.
        """
        if self.batch.advance(self):
            return True
        self.fit.batch_refusal = self.refusal
        self.batch.leave(self)
        return self.alone.advance()

    def put_draws_back(self) -> None:
        """Put the fit's draws back to the step that it is at, and with them those of the others."""
        self.batch.put_draws_back()
