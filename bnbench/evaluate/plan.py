"""What there is to evaluate below a folder: which stored planes, and what is left to measure on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from bnbench.arms.own_arm import load_arm
from bnbench.bn_policy import NO_BN, BnPolicy
from bnbench.errors import RequestError
from bnbench.inputs.data import load_data_of
from bnbench.mpo.batch_norm import uses_bn
from bnbench.mpo.plane import fresh_network
from bnbench.protocol.protocol import BUILT_IN, FitKey, Protocol, is_own_arm
from bnbench.protocol.sections import MeasurementProtocol
from bnbench.results.evaluations import Evaluation
from bnbench.results.folders import group_sweeps, scan
from bnbench.results.stored_planes import stored_planes
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import policies


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked of every stored plane, and how it is computed.

    Attributes:
        out: folder of evaluations.
        execution: where and how.
        policies: BN statistics; without any, those that the sweep's own summaries are kept under.
        arms: which arms; without any, the built-in ones. A user's own is imported only when it is named.
        split: ``test`` or ``held-out``; None means the protocol's.
        test_images: how many images of it, 0 for all; None means the protocol's number.
        with_landscapes: also keep loss and accuracy of every pixel.
        with_ensembles: also average the predictions of black pixels (:mod:`bnbench.mpo.ensemble`).
    """

    out: Path
    execution: Execution
    policies: tuple[BnPolicy, ...] = ()
    arms: tuple[str, ...] = ()
    split: str | None = None
    test_images: int | None = None
    with_landscapes: bool = False
    with_ensembles: bool = False

    def measurement(self, protocol: Protocol) -> MeasurementProtocol:
        """Return a protocol's measurement with the images that are asked for."""
        there = protocol.measurement
        images = there.test_images if self.test_images is None else self.test_images
        return replace(there, split=self.split or there.split, test_images=images)


@dataclass(frozen=True)
class PlaneTask:
    """One stored plane and what is to be measured on it.

    Attributes:
        folder: its results folder.
        key: which fit it is of.
        evaluations: what is asked of it, done or not.
        to_do: those of them that are not done.
    """

    folder: Path
    key: FitKey
    evaluations: tuple[Evaluation, ...]
    to_do: tuple[Evaluation, ...]


@dataclass
class EvaluationPlan:
    """What there is to evaluate below a folder.

    Attributes:
        tasks: planes that can be measured.
        without_plane: finished fits whose plane was not kept.
        left_out: user's own arms that were not named, with the number of their fits.
        broken: a sentence for each file that is in the way.
        notes: a sentence on fits that were found more than once.
    """

    tasks: list[PlaneTask] = field(default_factory=list)
    without_plane: list[FitKey] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def to_run(self) -> list[PlaneTask]:
        """Return the planes on which something is left to measure."""
        return [task for task in self.tasks if task.to_do]


def plan_evaluation(root: Path, request: EvaluationRequest) -> EvaluationPlan:
    """Find the stored planes of every sweep below a folder, and what is left to measure on them.

    Raises:
        RequestError: no sweep is there, or its images or arms cannot be used, or are fewer than asked for.
    """
    groups, broken = group_sweeps(root)
    plan, there = EvaluationPlan(broken=broken), set[str]()
    for group in groups:
        found = scan(group, lambda fit: (fit.key, fit.identity))
        fits = [(path.parent.parent, key, identity) for path, (key, identity) in found.fits.items()]
        there |= {key.arm for _, key, _ in fits}
        if not request.arms:
            plan.left_out.update(key.arm for _, key, _ in fits if is_own_arm(key.arm))
        planes = stored_planes([fit for fit in fits if fit[1].arm in (request.arms or BUILT_IN)])
        plan.without_plane += planes.missing
        plan.broken += [*found.broken, *planes.broken]
        plan.notes += found.notes
        if planes.found:
            plan.tasks += _plan_sweep(root, group.protocol, planes.found, request)
    if missing := [arm for arm in request.arms if arm not in there]:
        raise RequestError(f"--arms {missing[0]}: {root} has no fits of it, only of {', '.join(sorted(there))}.")
    return plan


def _plan_sweep(
    root: Path, protocol: Protocol, found: dict[FitKey, tuple[Path, str, str]], request: EvaluationRequest
) -> list[PlaneTask]:
    """Return what is asked of the stored planes of one sweep, and what is left of it to do."""
    asked, execution = request.measurement(protocol), request.execution
    data = load_data_of(replace(protocol, measurement=asked), execution.data_folder, execution.download)
    asked_policies = request.policies or tuple(policies(protocol))
    for policy in asked_policies:
        if policy.reference > len(data.train):
            raise RequestError(
                f"--bn-statistics {policy}: {root} has {len(data.train):,} training images; ask for fewer."
            )
    factories = {arm: load_arm(arm, data.image_shape, data.classes, protocol.network) for arm in {k.arm for k in found}}
    bn = {arm for arm, factory in factories.items() if uses_bn(fresh_network(factory, 0))}
    tasks: list[PlaneTask] = []
    for key, (folder, identity, plane) in found.items():
        evaluations = tuple(
            Evaluation(protocol, key, identity, plane, asked.split, len(data.measured), policy)
            for policy in (asked_policies if key.arm in bn else (NO_BN,))
        )
        kept = {"with_landscape": request.with_landscapes, "with_ensemble": request.with_ensembles}
        done = {one for one in evaluations if one.is_done(request.out, **kept)}
        tasks.append(PlaneTask(folder, key, evaluations, tuple(one for one in evaluations if one not in done)))
    return tasks
