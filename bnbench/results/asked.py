"""Configuration files: the options of a run as TOML, and the one that every run leaves with its results."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from bnbench.errors import RequestError
from bnbench.process.reading import read_toml, reason_of
from bnbench.protocol.knob_text import knob_text
from bnbench.protocol.parsing import parse_arms, parse_probs, parse_seeds
from bnbench.protocol.profiles import PROFILES
from bnbench.protocol.protocol import Grid, Protocol
from bnbench.results import layout
from bnbench.results.own_paths import own_path

# What concerns one run and not the sweep: neither read from a file nor stored in one.
ONE_RUN = ("config", "dry_run", "fail_fast", "force", "json", "retry_failed", "shard")
_HEADER = "# What the last run into this folder was asked for; bnbench run --config THIS_FILE repeats it.\n"


def read_config(path: Path, options: Mapping[str, bool]) -> dict[str, str | bool]:
    """Read a file of options.

    Args:
        path: a TOML file without tables; its keys are options, spelled ``mask-size`` or ``mask_size``.
        options: every option that it may hold, and whether it is a flag.

    Returns:
        Each option's value as the command line takes it: text, or a truth value for a flag.

    Raises:
        RequestError: the file cannot be read, or a key or the kind of its value is not an option's.
    """
    found: dict[str, str | bool] = {}
    for key, value in _read_toml(path).items():
        name = key.replace("-", "_")
        if name in ONE_RUN:
            raise RequestError(f"{path}: {key} concerns a single run; give --{name.replace('_', '-')} instead.")
        if name not in options:
            raise RequestError(f"{path}: {key} is no option of bnbench run; {_way_out(name, options)}.")
        if name in found:
            raise RequestError(f"{path}: {name.replace('_', '-')} stands there twice; give it once.")
        if isinstance(value, bool) != options[name]:
            wanted = "true or false" if options[name] else f"it a value as on the command line, without -- before {key}"
            raise RequestError(f"{path}: {_as_toml(key, value)}: give {wanted}.")
        found[name] = value if isinstance(value, bool) else _text(path, key, value)
    return found


def effective_config(protocol: Protocol, grid: Grid, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as a file of options that repeats it: profile and what was changed in it, grid, what was given.

    Args:
        protocol: what is asked.
        grid: which fits.
        given: other options that were given, by name.
    """
    profile = protocol.profile if protocol.profile in PROFILES else "compact"  # one of a user's own is no option
    changed = protocol.differences(PROFILES[profile])
    options = {
        "profile": profile,
        "probs": grid.probs,
        "seeds": _seeds(grid.seeds),
        "arms": grid.arms,
        **{name: here for name, (here, _) in changed.items()},
        **given,
    }
    return {name.replace("_", "-"): _plain(name, value) for name, value in options.items()}


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Store a run's options with its results, whole or not at all; those of an earlier run are replaced."""
    layout.write_atomically(layout.config_path(folder), (_HEADER + tomli_w.dumps(config)).encode())


def read_grid(folder: Path) -> Grid | None:
    """Return the grid that the last run into a results folder was asked for; None if none has said so.

    Raises:
        RequestError: the folder's configuration is damaged.
    """
    path = layout.config_path(folder)
    try:
        stored = _toml(path, is_ours=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read ({reason_of(error)}); what was asked for is not known, and the next bnbench run "
            "writes it anew."
        ) from error
    try:
        probs, seeds, arms = (_text(path, name, stored[name]) for name in ("probs", "seeds", "arms"))
    except KeyError as missing:
        raise RequestError(f"{path} does not say {missing}; the next bnbench run writes it anew.") from missing
    try:
        return Grid(parse_arms(arms), parse_probs(probs), parse_seeds(seeds))
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def read_options(folder: Path) -> dict[str, Any]:
    """Return what else the last run into a results folder was asked for, beside profile, grid and knobs, by name.

    Where no run has said so, or its file is damaged, which :func:`read_grid` tells, there is nothing.
    """
    try:
        stored = _toml(layout.config_path(folder), is_ours=True)
    except (OSError, RequestError):
        return {}
    others = {"profile", "probs", "seeds", "arms", *(name for name, _ in PROFILES["compact"].knobs())}
    found = {name.replace("-", "_"): value for name, value in stored.items()}
    return {name: value for name, value in found.items() if name not in others}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return _toml(path, is_ours=False)
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror}); give a TOML file of options.") from error


def _toml(path: Path, *, is_ours: bool) -> dict[str, Any]:
    try:
        return read_toml(path, is_ours=is_ours)
    except ValueError as error:
        raise RequestError(
            f"{path} is not a TOML file of options ({reason_of(error)}); write lines such as steps = 300."
        ) from error


def folder_of(config: Path) -> Path | None:
    """Return the results folder whose own configuration a file is: that it lies in, or that a link leads to."""
    for path in (config, config.resolve()):
        folder = path.parent
        if path == layout.config_path(folder) and (
            layout.is_there(folder / "protocol.json") or layout.has_fits(folder)
        ):
            return folder
    return None


def _way_out(name: str, options: Mapping[str, bool]) -> str:
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.75)
    return f"{near[0].replace('_', '-')} is one" if near else "bnbench run --help names them all, without the --"


def _text(path: Path, key: str, value: Any) -> str:
    """Return a value of the file as the command line takes it."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in values):
        raise RequestError(f"{path}: {_as_toml(key, value)}: give text, a number or a list of these.")
    if key == "seeds" and isinstance(value, list) and len(value) == 1:
        return f"{value[0]}:{value[0]}:1"  # [3] names a seed, 3 counts them
    texts = [str(part) for part in values]
    if key not in ("mask-size", "mask_size"):
        return ",".join(texts)
    if len(texts) > 2:  # two are rows and columns
        raise RequestError(f'{path}: {_as_toml(key, value)}: several sizes are text, {key} = "{",".join(texts)}".')
    return "x".join(texts)


def _as_toml(key: str, value: Any) -> str:
    return f"[{key}]" if isinstance(value, dict) else f"{key} = {json.dumps(value, default=str)}"


def _seeds(seeds: tuple[int, ...]) -> int | str:
    """Return seeds as the command line takes them: 3 counts them, 3:3:1 names one."""
    if seeds == tuple(range(1, len(seeds) + 1)):
        return len(seeds)
    return ",".join(str(seed) for seed in seeds) if len(seeds) > 1 else f"{seeds[0]}:{seeds[0]}:1"


def _plain(name: str, value: Any) -> Any:
    """Return a value as TOML stores it; a list as the command line writes it, which keeps it on one line."""
    if isinstance(value, tuple):
        is_knob = name in dict(PROFILES["compact"].knobs())  # such as mask_size, whose numbers x separates
        return knob_text(name, value) if is_knob else ",".join(map(str, value))
    if not isinstance(value, Path):
        return value
    stored = own_path(value)
    return Path(stored).name if name == "out" and Path(stored).is_absolute() else stored  # it lies in that folder
