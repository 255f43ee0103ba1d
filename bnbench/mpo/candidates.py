"""The ways to compute networks that a GPU may try beside torch's own, and the variable that leaves some out.

``grouped`` is what torch does with convolutions of many networks under ``vmap``, ``ordinary`` what it does with
those of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from bnbench.errors import RequestError
from bnbench.mpo.convolutions import Kernels
from bnbench.mpo.one_network import ChannelsLast, Compiled, OneNetwork
from bnbench.mpo.windows import Windows

Way = Kernels | OneNetwork

GROUPED, ORDINARY, FUSED = "grouped", "ordinary", "fused"
OF_TRITON = frozenset({FUSED, "compiled"})  # what an access to memory that is not there is put down to
VARIABLE = "BNBENCH_KERNELS"


def _fused() -> Kernels:
    from bnbench.mpo.fused import Fused

    return Fused()


CANDIDATES: Mapping[str, Callable[[], Way]] = {"windows": Windows, FUSED: _fused}
OF_ONE: Mapping[str, Callable[[], Way]] = {"channels-last": ChannelsLast, "compiled": Compiled}


def allowed_kernels() -> frozenset[str]:
    """Return the names of the kernels that a GPU may try beside torch's own: all, or those that a variable names.

    Raises:
        RequestError: ``BNBENCH_KERNELS`` names one that there is not.
    """
    known = (*CANDIDATES, *OF_ONE)
    said = os.environ.get(VARIABLE)
    if said is None:
        return frozenset(known)
    names = [name.strip() for name in said.split(",") if name.strip()]
    for name in names:
        if name not in (*known, GROUPED, ORDINARY):
            raise RequestError(
                f"{VARIABLE}={said}: there are no kernels {name!r}; "
                f"give some of {', '.join(known)}, or {GROUPED} for torch's own alone."
            )
    return frozenset(names) & frozenset(known)
