"""The data and the arms that a sweep is asked to compute with: judged and loaded once, before any worker starts."""

from __future__ import annotations

from bnbench.arms.loading import import_current
from bnbench.arms.own_arm import load_arm
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet, load_data
from bnbench.inputs.masks import black_share, mask_of
from bnbench.protocol.mask_sizes import size_name
from bnbench.protocol.profile_values import naming_the_profile
from bnbench.protocol.protocol import Grid, Protocol, check_arm_name
from bnbench.sweep.execution import Execution
from bnbench.sweep.measure import policies


def load_inputs(grid: Grid, protocol: Protocol, execution: Execution) -> DataSet:
    """Load the data and every arm once, and return the data; a wrong request ends here, before any worker starts.

    What can be judged without data is judged first: a wrong name is wrong on a machine without the data set, too.

    Raises:
        RequestError: a data set or an arm cannot be used, or the protocol asks for what they cannot give.
    """
    with naming_the_profile(protocol):
        _check_without_data(grid, protocol, execution)
        data = load_data(protocol.data, protocol.measurement, execution.data_folder, execution.download)
        for arm in grid.arms:
            load_arm(arm, data.image_shape, data.classes, protocol.network)
        check_number_of_images(protocol, len(data.train))
    return data


def _check_without_data(grid: Grid, protocol: Protocol, execution: Execution) -> None:
    for arm in grid.arms:
        check_arm_name(arm)
        import_current(arm)  # its file may have been edited since an earlier sweep of this process
    if execution.measure_at:
        execution.measure_at.of(protocol.training.steps)
    if protocol.mask.mask_kind == "framed" and min(protocol.mask.mask_size) < 5:
        size = size_name(protocol.mask.mask_size)
        raise RequestError(f"--mask-kind framed and --mask-size {size}: a frame needs --mask-size 5 or more.")
    if not protocol.mask.picture:
        return
    share = black_share(mask_of(0.5, 1, protocol.mask))
    if grid.probs != (share,):
        named = ",".join(f"{p:g}" for p in grid.probs)
        raise RequestError(f"--probs {named}: of a picture it is its share of black pixels; give --probs {share:g}.")


def check_number_of_images(protocol: Protocol, count: int) -> None:
    """Refuse a protocol that draws, or estimates BN statistics on, more training images than there are.

    Raises:
        RequestError: it does; the message says how many there are.
    """
    there = f"there are {count:,} training images"
    if protocol.training.images > count:
        raise RequestError(f"--images {protocol.training.images}: {there}; give fewer.")
    for policy in policies(protocol):
        if policy.reference > count:
            asked = protocol.measurement.bn_policy
            other = "" if asked == policy else f" is also measured as {policy}"
            raise RequestError(f"--bn-statistics {asked}{other}: {there}; give {asked.kind}:{count} or fewer.")
