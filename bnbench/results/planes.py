"""Fitted planes on disk: one safetensors file per fit, which runs no code when it is read.

A file holds ``vectors``, float32, shape (1 + d, n): origin, right (φ, before eq. 2) and up; and ``scale``,
shape (): s as it was trained; and ``buffer.NAME``, each constant buffer of an own arm, in its own shape and
type, a complex one as pairs of real numbers (files of earlier versions have none). Its metadata has one entry,
``bnbench``, JSON: format, revision, key, identity, protocol, image shape, classes, layers (name, shape, start and
stop among the n weights), initial and trained scale, and the source of an own arm.

Letters: n weights, d directions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bnbench.arms.loading import arm_source
from bnbench.arms.own_arm import load_arm
from bnbench.errors import RequestError
from bnbench.inputs.data import DataSet
from bnbench.mpo.plane import Layer, Plane, fresh_network
from bnbench.process.reading import check_regular, plain_json, reason_of
from bnbench.protocol.protocol import FitKey, Protocol, is_own_arm
from bnbench.results import layout, store
from bnbench.results.constant_buffers import set_buffers, stored_buffer
from bnbench.results.digests import CHANGED, digest_of

FORMAT = 2  # files of format 1 have no digest
_METADATA = "bnbench"
_BUFFER = "buffer."


@dataclass(frozen=True)
class PlaneDetails:
    """What a plane's file says of itself.

    Attributes:
        key: which fit it is of.
        identity: of that fit, see :func:`bnbench.protocol.identity.identity_of`.
        protocol: of that fit.
        image_shape: channels, rows and columns of the images that its networks take.
        classes: number of classes.
        layers: each parameter's name, shape and place among the n weights.
        scale: the scale s as it was trained.
        source: hash of an own arm's source file; empty for a built-in arm.
        has_digest: whether the file carries one; those of earlier versions do not.
    """

    key: FitKey
    identity: str
    protocol: Protocol
    image_shape: tuple[int, int, int]
    classes: int
    layers: tuple[Layer, ...]
    scale: float
    source: str = ""
    has_digest: bool = False


def save_plane(folder: Path, plane: Plane, key: FitKey, identity: str, protocol: Protocol, data: DataSet) -> Path:
    """Keep a fitted plane in its results folder, whole or not at all.

    Args:
        folder: the results folder.
        plane: the fitted plane, on any device.
        key: which fit it is of.
        identity: of that fit.
        protocol: of that fit.
        data: tells the shape of an image and the number of classes.

    Raises:
        OSError: it cannot be written.
    """
    details = {
        "format": FORMAT,
        "revision": protocol.revision,
        "key": asdict(key),
        "identity": identity,
        "protocol": protocol.as_dict(),
        "image_shape": list(data.image_shape),
        "classes": data.classes,
        "layers": [layer._asdict() for layer in plane.layers],
        "initial_scale": protocol.training.initial_scale,
        "scale": plane.scale.item(),
        "source": arm_source(key.arm),
    }
    tensors = {"vectors": plane.vectors.detach().cpu().contiguous(), "scale": plane.scale.detach().cpu()}
    tensors.update({f"{_BUFFER}{name}": stored_buffer(buffer) for name, buffer in plane.module.named_buffers()})
    details["digest"] = _digest(details, tensors)
    path = layout.plane_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    layout.write_atomically(path, save(tensors, {_METADATA: json.dumps(details)}))
    return path


def read_plane_details(path: Path) -> PlaneDetails:
    """Return what a plane's file says of itself; the whole file is checked.

    Raises:
        StoreError: the file is not there, damaged, or no plane of bnbench; the message names it.
    """
    return _read(path)[0]


def load_plane(path: str | Path, *, arm: str | None = None, device: str = "cpu") -> Plane:
    """Return a fitted plane, ready for :func:`bnbench.measure_landscape`.

    Args:
        path: what ``bnbench run --keep-planes`` wrote: ``planes/….safetensors`` in a results folder.
        arm: an own arm, ``package.module:factory``, whose network the plane needs. It has to be named:
            otherwise a file could choose which code is imported. Not needed for built-in arms.
        device: where the plane goes.

    Returns:
        The plane with its trained vectors, shape (1 + d, n), and scale.

    Raises:
        StoreError: the file is not there, damaged, no plane of bnbench, or of another version of the arm.
        RequestError: it is of an own arm, which is not named, or cannot be imported.
    """
    path = Path(path).expanduser()
    details, vectors, scale, buffers = _read(path)
    if is_own_arm(details.key.arm) and arm != details.key.arm:
        raise RequestError(
            f"{path} is a plane of the arm {details.key.arm}, which is imported only when it is named: "
            f"load_plane(path, arm={details.key.arm!r})."
        )
    if arm_source(details.key.arm) != details.source:
        raise store.StoreError(
            f"{path} was computed by another version of the arm {details.key.arm}; load it with that version."
        )
    from_origin = details.protocol.training.directions == "from-origin"
    plane = Plane(_network(path, details), vectors, float(scale), from_origin=from_origin)
    if tuple(plane.layers) != details.layers:
        raise store.StoreError(
            f"{path} names other layers than the arm {details.key.arm} has; load it with the version that wrote it."
        )
    set_buffers(path, plane.module, buffers)
    return plane.to(device)


def _network(path: Path, details: PlaneDetails) -> nn.Module:
    """Return a network of the plane's arm, of as many weights as the file says; its own weights are not used."""
    factory = load_arm(details.key.arm, details.image_shape, details.classes, details.protocol.network)
    try:
        network = fresh_network(factory, 0)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise store.StoreError(
            f"{path} asks for networks that cannot be made ({reason_of(error)}); give an unchanged file."
        ) from error
    size, stored = sum(weights.numel() for weights in network.parameters()), details.layers[-1].stop
    if size != stored:
        raise store.StoreError(
            f"{path} holds planes of {stored:,} weights, but the arm {details.key.arm} has {size:,}; "
            "load it with the version that wrote it."
        )
    return network


def _read(path: Path) -> tuple[PlaneDetails, Tensor, Tensor, dict[str, Tensor]]:
    """Return details, vectors (1 + d, n), scale () and buffers of a file, after every check that needs no network."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            stored = plain_json((file.metadata() or {})[_METADATA].encode())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dictionary
        details = _details(stored)
        if stored["format"] > 1 and stored.pop("digest") != _digest(stored, tensors):
            raise ValueError(CHANGED)
        vectors, scale = tensors["vectors"], tensors["scale"]
        buffers = {name.removeprefix(_BUFFER): value for name, value in tensors.items() if name.startswith(_BUFFER)}
        _check_tensors(details, vectors, scale)
    except FileNotFoundError as error:
        raise store.StoreError(f"{path} is not there; bnbench run --keep-planes keeps a fit's plane.") from error
    except OSError as error:
        raise store.StoreError(f"{path} cannot be read ({reason_of(error)}); it is left out.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        reason = "no bnbench metadata" if isinstance(error, KeyError) else reason_of(error)
        raise store.StoreError(
            f"{path} is not a whole plane of bnbench ({reason}); "
            "bnbench run --force --keep-planes computes its fit anew."
        ) from error
    return details, vectors, scale, buffers


def _digest(details: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return a digest of what a plane's file says of itself and of each tensor's bits."""
    named = ((name, tensors[name]) for name in sorted(tensors))
    shapes = {name: [str(value.dtype), list(value.shape)] for name, value in tensors.items()}
    bits = ((name, value.contiguous().reshape(-1).view(torch.uint8).numpy()) for name, value in named)
    return digest_of([details, shapes], bits)


def _details(stored: dict[str, Any]) -> PlaneDetails:
    if type(stored["format"]) is not int or not 1 <= stored["format"] <= FORMAT:
        raise ValueError(f"its format is {stored['format']}, this version reads 1 to {FORMAT}")
    channels, rows, columns = (int(size) for size in stored["image_shape"])
    layers = [Layer(**{**layer, "shape": torch.Size(layer["shape"])}) for layer in stored["layers"]]
    return PlaneDetails(
        key=FitKey(**stored["key"]),
        identity=str(stored["identity"]),
        protocol=Protocol.from_dict(stored["protocol"]),
        image_shape=(channels, rows, columns),
        classes=int(stored["classes"]),
        layers=tuple(layers),
        scale=float(stored["scale"]),
        source=str(stored["source"]),
        has_digest=stored["format"] > 1,
    )


def _check_tensors(details: PlaneDetails, vectors: Tensor, scale: Tensor) -> None:
    size = details.layers[-1].stop if details.layers else 0
    if vectors.dim() != 2 or len(vectors) < 2 or vectors.shape[1] != size or scale.dim() != 0:
        raise ValueError(f"vectors {tuple(vectors.shape)} and scale {tuple(scale.shape)} for {size:,} weights")
    if not (vectors.dtype == scale.dtype == torch.float32):
        raise ValueError(f"its numbers are {vectors.dtype} and {scale.dtype}, not torch.float32")
    if not (vectors.isfinite().all() and scale.isfinite()):
        raise ValueError("not all of its numbers are finite")
