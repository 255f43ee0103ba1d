"""The training loop, step by step: bend a plane's landscape to a picture.

Letters: P pixels of a step, B images that a pixel sees, n weights, d directions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bnbench.errors import RequestError
from bnbench.mpo.cuda_graph import record_graph
from bnbench.mpo.gradient import CHUNK, ObjectiveGradient
from bnbench.mpo.images import Images, check_outputs
from bnbench.mpo.objective import colour_targets
from bnbench.mpo.one_batch import Member
from bnbench.mpo.optimizers import build_optimizer, plain_state
from bnbench.mpo.plane import Plane, check_masks, grid_coordinates
from bnbench.mpo.sampling import Cycle
from bnbench.mpo.trace import SUMMED, TraceRow, finite_row, step_means
from bnbench.mpo.training import TrainingSettings
from bnbench.mpo.whole_step import Recorder, WholeStep

# A forward pass alone costs 0.35 (plain) to 0.42 (bn) of forward and backward: from this share of
# clamped white pixels on it pays to find them first.
_FIND_FROM = 0.4
_SMOOTHING = 0.1  # how much a step counts in the running mean of that share
_ROWS = 100  # of a trace, about: a row for each hundredth of the steps


class Fit:
    """One fit under way: everything that its next step depends on.

    Args:
        record: records a step, for ``bnbench.mpo.whole_step``; by default a GPU does, a CPU does not. All other
            arguments are those of :func:`bnbench.fit`.

    Raises:
        ValueError: masks that do not fit each other or the plane, or lack a trained pixel of either colour; no chunk.
    """

    def __init__(
        self,
        plane: Plane,
        black: Tensor,
        trained: Tensor,
        data: Images,
        training: TrainingSettings,
        *,
        origin: str = "centre",
        pixels: torch.Generator | None = None,
        images: torch.Generator | None = None,
        chunk: int = CHUNK,
        record: Recorder | None = None,
    ) -> None:
        if chunk < 1:
            raise RequestError(f"chunk={chunk}: give a whole number of at least 1.")
        black, trained = torch.as_tensor(black), torch.as_tensor(trained)
        check_masks(plane, black, trained)
        data = data.beside(plane.vectors)
        check_outputs(plane.module, data)
        self.plane, self.training = plane, training
        device = plane.vectors.device
        self.coordinates = grid_coordinates(black.shape, origin).to(device, plane.vectors.dtype)  # (pixels, d)
        self.engine = ObjectiveGradient(plane, data, self.coordinates, training.threshold, chunk, training.precision)
        self.black_pixels = (black & trained).flatten().nonzero().squeeze(1).cpu()
        self.white_pixels = (~black & trained).flatten().nonzero().squeeze(1).cpu()
        pixels = pixels or torch.Generator().manual_seed(0)
        self.black_cycle = Cycle(len(self.black_pixels), pixels)
        self.white_cycle = Cycle(len(self.white_pixels), pixels)
        self.black_count = min(training.black_pixels, self.black_cycle.count)
        self.white_count = min(training.white_pixels, self.white_cycle.count)
        is_black = torch.arange(self.black_count + self.white_count) < self.black_count
        self.targets = colour_targets(is_black).to(device)  # of each step's pixels: black ones come first
        self.image_cycle = Cycle(len(data), images or torch.Generator().manual_seed(1))
        self.cycles = self.black_cycle, self.white_cycle, self.image_cycle
        own = () if training.minibatch == "shared" else (len(is_black),)
        self.images_shape = *own, training.images  # (B,) or (P, B)
        self.rates = (training.learning_rate, training.learning_rate * training.scale_rate)
        groups = [{"params": [plane.vectors]}, {"params": [plane.scale]}]
        self.optimizer = build_optimizer(training.optimizer, groups, training.learning_rate)
        self.step = 0
        self.clamped_share = 0.0
        self.sums = torch.zeros(len(SUMMED), dtype=torch.float64, device=device)
        self.rows: list[TraceRow] = []
        self.whole_refusal = ""  # why its steps are not recorded whole; empty where they are, or where no GPU is
        self.batch_refusal = ""  # why they are not one batch with those of others; empty where nobody asked for it
        self.batched: list[int] = []  # how wide the batches of its recorded steps were, one number after another
        self.recorded = ""  # what of a step was a recording: whole, gradient or nothing; empty where nothing records
        self.whole: WholeStep | Member | None = None  # what takes whole steps, if anything does
        if record or self.engine.replayed:
            self.whole = WholeStep([self], record or record_graph)

    @property
    def is_done(self) -> bool:
        """Say whether all steps were taken."""
        return self.step >= self.training.steps

    def advance(self) -> None:
        """Take one step of the optimizer on eq. 3."""
        if self.whole and self.whole.advance():
            self.recorded = "whole"
        else:
            self._advance_alone()
        self.step += 1
        if self.step % max(1, self.training.steps // _ROWS) == 0 or self.is_done:
            means = (self.sums / (self.step - (self.rows[-1].step if self.rows else 0))).tolist()
            self.sums.zero_()
            self.rows.append(finite_row((self.step, *means, self.plane.scale.item(), self.rates_at(self.step - 1)[0])))

    def _advance_alone(self) -> None:
        """Take a step that no recording takes."""
        if self.whole:  # it was refused
            self.whole_refusal, self.whole = self.whole.refusal, None
        if self.batched:
            self.note_width(1)
        for group, rate in zip(self.optimizer.param_groups, self.rates_at(self.step), strict=True):
            group["lr"] = rate
        pixels, images = (drawn.to(self.coordinates.device) for drawn in self.draw())
        finds = self.clamped_share > _FIND_FROM and not self.sums.is_cuda
        *_, clamped = self.take(pixels, images, find_clamped=finds)
        if self.sums.is_cuda or self.whole_refusal:
            self.recorded = "gradient" if self.engine.replayed and not self.engine.refusal else "nothing"
        if not self.sums.is_cuda:
            self.clamped_share += _SMOOTHING * (float(clamped) - self.clamped_share)

    def take(self, pixels: Tensor, images: Tensor, *, find_clamped: bool = False) -> tuple[Tensor, ...]:
        """Take a step at the optimizer's rates; it waits for no GPU unless clamped pixels are to be found.

        Args:
            pixels: black ones first, shape (P,).
            images: of all pixels, shape (B,), or of each, (P, B).
            find_clamped: leave clamped pixels out, as ``ObjectiveGradient.step`` does.

        Returns:
            Gradient of the frame, (1 + d, n); losses and accuracies, (P,); the gradient's norm before it is clipped;
            and the share of white pixels that are clamped.
        """
        frame = self.plane.frame()  # (1 + d, n)
        step = frame.detach(), pixels, self.targets, images
        found = self.engine.step(*step, find_clamped=find_clamped, replays=self.whole is None)
        return self.follow(frame, *found)

    def follow(self, frame: Tensor, gradient: Tensor, losses: Tensor, accuracies: Tensor) -> tuple[Tensor, ...]:
        """Follow the gradient of a step; all as :meth:`take` returns it, but for the frame, which has its graph."""
        parameters = tuple(self.plane.parameters())
        for parameter, own in zip(parameters, torch.autograd.grad(frame, parameters, gradient), strict=True):
            parameter.grad = own
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.training.clip)
        self.optimizer.step()
        means = step_means(losses, accuracies, self.targets, self.training.threshold, self.black_count)
        self.sums += torch.stack([*means, norm.double()])
        return gradient, losses, accuracies, norm, means[-1]

    def note_width(self, width: int) -> None:
        """Record for how many fits the batch of this step has room, where that differs from the step before."""
        if self.batched[-1:] != [width]:
            self.batched.append(width)

    def rates_at(self, step: int) -> tuple[float, ...]:
        """Return the learning rates of the plane's vectors and of its scale at a step, counted from 0."""
        factor = 1.0
        if self.training.schedule == "cosine":
            factor = 0.5 + 0.5 * math.cos(math.pi * step / self.training.steps)
        return tuple(rate * factor for rate in self.rates)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw the pixels of a step, black ones first, (P,), and its images, shared (B,) or own (P, B), on the CPU."""
        black = self.black_pixels[self.black_cycle.draw(self.black_count)]
        white = self.white_pixels[self.white_cycle.draw(self.white_count)]
        images = self.image_cycle.draw(math.prod(self.images_shape)).view(self.images_shape)
        return torch.cat([black, white]), images

    def choose_kernels(self) -> None:
        """Choose on a GPU what computes the networks, by a step that is drawn and put back; before the next step."""
        if not self.engine.trial:
            return
        before = [cycle.state_dict() for cycle in self.cycles]
        pixels, images = (drawn.to(self.coordinates.device) for drawn in self.draw())
        for cycle, state in zip(self.cycles, before, strict=True):
            cycle.load_state_dict(state)
        self.engine.choose_kernels(self.plane.frame().detach(), pixels, *self.targets, images)

    @property
    def notes(self) -> list[str]:
        """Return what a fit's provenance says of its steps, such as that a GPU refused a faster way to compute them."""
        said = {"recorded whole": self.whole_refusal, "one batch with other fits": self.batch_refusal}
        return [f"its steps were not {what} ({why})" for what, why in said.items() if why] + self.engine.notes

    def forget_recordings(self) -> None:
        """Give back the memory of what a GPU has recorded; the next step is computed one kernel after another."""
        if self.whole:
            self.whole.put_draws_back()
        self.whole = self.engine.replayed = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that :meth:`load_state_dict` needs to go on bit for bit."""
        if self.whole:
            self.whole.put_draws_back()
        return {
            "plane": self.plane.state_dict(),
            "optimizer": plain_state(self.optimizer),
            "cycles": [cycle.state_dict() for cycle in self.cycles],
            "step": self.step,
            "clamped_share": self.clamped_share,
            "sums": self.sums,
            "rows": [tuple(row) for row in self.rows],
            "visits": (self.engine.forward_visits, self.engine.gradient_visits),
            "kernels": self.engine.strategy.name if self.engine.strategy else "",
            "batched": [*self.batched],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where :meth:`state_dict` was taken.

        Raises:
            ValueError: its step is none of this fit's.
        """
        if type(state["step"]) is not int or not 0 <= state["step"] <= self.training.steps:
            raise ValueError(f"it is at step {state['step']} of {self.training.steps:,}")
        self.plane.load_state_dict(state["plane"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.whole:  # the optimizer's tensors are others now
            self.whole = WholeStep([self], self.whole.record)
        for cycle, stored in zip(self.cycles, state["cycles"], strict=True):
            cycle.load_state_dict(stored)
        self.step, self.clamped_share = state["step"], state["clamped_share"]
        self.sums.copy_(state["sums"])
        self.rows = [TraceRow(*row) for row in state["rows"]]
        self.engine.forward_visits, self.engine.gradient_visits = state["visits"]
        self.batched = [*state.get("batched", ())]  # of its earlier parts
        self.engine.prefer(state.get("kernels", ""))  # a processor's fit has none, nor has one of an earlier version
