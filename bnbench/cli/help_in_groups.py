"""How help looks: options in groups, each with a heading. Errors stay those of ``group.py``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click
from rich_click import RichCommand, RichGroup
from rich_click.rich_panel import RichOptionPanel

from bnbench.protocol.protocol import SECTIONS

_IMAGES = ("--data", "--data-folder", "--download")
_MACHINE = ("--devices", "--per-device", "--jobs", "--threads")
_GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "bend": {
        "Picture": ("--text", "--size", "--grey-level", "--invert"),
        "Fit": ("--arm", "--profile", "--steps", "--seed"),
        "Images": _IMAGES,
        "Result": ("--out", "--animate", "--ensemble"),
        "Machine": ("--device", "--threads", "--checkpoint-every"),
    },
    "run": {
        "What to fit": ("--profile", "--probs", "--seeds", "--arms", "--config"),
        "Pictures instead of random masks": ("--mask", "--grey-level", "--invert"),
        "Images": _IMAGES,
        "Results": ("--out", "--keep-planes", "--measure-at", "--json", "--dry-run"),
        "Machine": (*_MACHINE, "--chunk", "--backend", "--scheduler", "--shard"),
        "Going on": ("--checkpoint-every", "--fit-timeout", "--fit-memory", "--retry-failed", "--force", "--fail-fast"),
    },
    "status": {"Output": ("--watch", "--json", "--serve", "--port")},
    "evaluate": {
        "What to measure": ("--arms", "--bn-statistics", "--split", "--test-images", "--landscapes", "--ensembles"),
        "Images": ("--data-folder", "--download"),
        "Results": ("--out",),
        "Machine": _MACHINE,
    },
    "report": {
        "Output": ("--out", "--format", "--open"),
        "Contents": ("--arms", "--evaluations", "--figure3", "--compare"),
    },
    "export": {"Output": ("--tensorboard",)},
    "verify": {"Output": ("--record", "--json")},
    "smoothness": {
        "What to train": ("--profile", "--seeds", "--arms", "--steps"),
        "What to measure": ("--points", "--batch", "--minibatches", "--probes"),
        "Fitted planes instead": ("--planes", "--pixels"),
        "Images": _IMAGES,
        "Results": ("--out", "--dry-run"),
        "Machine": ("--jobs", "--threads"),
    },
    "check": {
        "What to check": ("--update", "--add", "--arms", "--set", "--only"),
        "Findings": ("--json", "--junit", "--markdown"),
        "Machine": _MACHINE,
    },
}
_LOOK = {
    "theme": "default-slim",
    "text_markup": None,
    "default_string": "\\[default: {}]",
    "options_table_column_types": ["opt_all_metavar", "help"],
}


class Program(RichGroup):
    """The commands together. What goes wrong is raised, as click's own group does, and ``main`` words it."""

    main = click.Group.main
    get_help_option = click.Group.get_help_option  # writes the help at once, also to a reader who leaves early


class GroupedCommand(RichCommand):
    """A command whose help shows its options in groups; those of the protocol's knobs are its sections."""

    get_help_option = click.Command.get_help_option  # as above

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.panels = [
            RichOptionPanel(heading, options=list(options)) for heading, options in _GROUPS[str(self.name)].items()
        ]
        there = {option for one in self.params for option in one.opts}
        for title, section in SECTIONS.items():
            knobs = [name for knob in fields(section) if (name := f"--{knob.name.replace('_', '-')}") in there]
            if self.name == "run":
                self.panels.append(RichOptionPanel(f"The protocol's {title}", options=knobs))


def settings() -> dict[str, Any]:
    """Return what the help of all commands has in common."""
    return {"help_option_names": ["-h", "--help"], "max_content_width": 110, "rich_help_config": _LOOK}
