"""Accuracy of all black pixels together, as an ensemble."""

from __future__ import annotations

from bnbench.measures.measure import FittedPlane, Measure


def ensemble_accuracy(fitted: FittedPlane) -> float:
    """Return the accuracy of the averaged class probabilities of all black pixels, see :mod:`bnbench.mpo.ensemble`."""
    import torch  # whoever has fitted a plane has loaded it, and a report computes none of these

    from bnbench.mpo.ensemble import measure_ensemble

    found = measure_ensemble(
        fitted.plane,
        torch.tensor(fitted.pixels.black),
        fitted.measured,
        bn_statistics=fitted.policy,
        reference=fitted.train,
        origin=fitted.origin,
        sizes=(),
    )
    return found.accuracy


MEASURE = Measure(
    name="ensemble",
    title="accuracy, predictions of all black pixels averaged",
    low=0.0,
    high=1.0,
    better="higher",
    of_plane=ensemble_accuracy,
    of_kept_planes=True,  # it classifies all test images once more at every black pixel
)
