"""The house: imports go one way, each outside package has one home, rooms are small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bnbench"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Package to the modules that may import it; the name of a room stands for what lies in it, too.
HOMES = {
    "click": ("bnbench.cli",),
    "rich_click": ("bnbench.cli.help_in_groups",),
    "joblib": ("bnbench.sweep.backends",),
    "dask": tuple(f"bnbench.sweep.backends.dask_{part}" for part in ("backend", "cluster", "worker")),
    "distributed": tuple(f"bnbench.sweep.backends.dask_{part}" for part in ("backend", "cluster", "worker")),
    "seaborn": ("bnbench.report", "bnbench.bending"),
    "matplotlib": (
        "bnbench.report",
        "bnbench.bending",
        "bnbench.inputs.drawings",
        "bnbench.inputs.lettering",
        "bnbench.plot",
    ),
    "jinja2": ("bnbench.report", "bnbench.bending"),
    "pyarrow": ("bnbench.results.schemas", "bnbench.results.store", "bnbench.results.tables"),
    "resvg_py": ("bnbench.inputs.drawing_reader",),
    "rich": ("bnbench.cli", "bnbench.sweep.watching"),
    "safetensors": ("bnbench.results.planes",),
    "tensorboard": ("bnbench.export",),
    "tomli_w": ("bnbench.results.asked",),
    "sklearn": ("bnbench.inputs.digits",),
    "torchvision": ("bnbench.inputs.datasets",),
    "triton": ("bnbench.mpo.fused", "bnbench.mpo.fused_kernels"),
    "PIL": ("bnbench.inputs.image_folders", "bnbench.inputs.lettering", "bnbench.inputs.pictures"),
}


@cache
def imported(path: Path, *, at_the_top: bool) -> frozenset[str]:
    """Modules that a file imports: all of them, or those that importing it imports."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if not at_the_top else (inner for node in tree.body for inner in _run_at_import(node))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(f"bnbench.{node.module or node.names[0].name}")  # relative, though no module does so
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return frozenset(found)


def _run_at_import(node: ast.stmt) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return []
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return []
    return list(ast.walk(node))


@cache
def floors() -> dict[str, int]:
    """The floor of each room, as CONTRIBUTING.md draws the house: a room may import from the floors below its own."""
    (drawn,) = re.findall(
        r"^```text\n(errors, .*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return {room: number for number, floor in enumerate(drawn.split("→")) for room in re.findall(r"\w+", floor)}


def room(module: str) -> str:
    """The package, or the module that lies beside the packages, in which a module is."""
    return module.split(".")[1]


def against_the_rule(module: str, path: Path) -> list[str]:
    """What a module imports, at the top or in a function, from a room that is not below its own."""
    here, heights = room(module), floors()
    own = [other for other in imported(path, at_the_top=False) if other.partition(".")[0] == "bnbench"]
    above = [other for other in own if "." not in other or heights[room(other)] >= heights[here]]
    return [other for other in above if "." not in other or room(other) != here]


@cache
def report_floor(module: str) -> int | None:
    """The floor inside ``report``, as CONTRIBUTING.md draws it; None of a module elsewhere, and of the room itself."""
    (line,) = re.findall(r"^report: (arms, .*)$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    floors = {part: number for number, floor in enumerate(line.split("→")) for part in re.findall(r"\w+", floor)}
    parts = module.split(".")
    return floors[parts[2]] if parts[1:2] == ["report"] and len(parts) > 2 else None


def against_the_rule_of_the_report(module: str, path: Path) -> list[str]:
    """What a module of the report imports from a part of it that comes later; its own part is open to it."""
    here = report_floor(module)
    floors = {other: report_floor(other) for other in imported(path, at_the_top=False)}
    return [other for other, floor in floors.items() if here is not None and floor is not None and floor > here]


def test_inside_the_report_imports_go_down() -> None:
    found = {name: against_the_rule_of_the_report(name, path) for name, path in MODULES.items()}
    assert {name: others for name, others in found.items() if others} == {}


def test_a_figure_that_imports_a_chapter_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("from bnbench.report.chapters.chapter import Chapter\nfrom bnbench.report.tables import Table\n")
    found = against_the_rule_of_the_report("bnbench.report.figures.wall_time", planted)
    assert found == ["bnbench.report.chapters.chapter"]


INSIDE = [name for name in MODULES if name not in ("bnbench", "bnbench.__main__")]  # what offers and starts the rest


def test_every_room_has_a_floor() -> None:
    assert sorted(floors()) == sorted({room(name) for name in INSIDE})


def test_imports_go_down() -> None:
    found = {name: against_the_rule(name, MODULES[name]) for name in INSIDE}
    assert {name: others for name, others in found.items() if others} == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bnbench.inputs.seeds", "from bnbench.cli.options import ARMS"),
        ("bnbench.protocol.knobs", "def inside() -> None:\n    from bnbench.results.store import write_fit"),
        ("bnbench.sweep.plan", "from bnbench.report import style"),
        ("bnbench.report.figures.style", "import bnbench.sweep.runner"),
        ("bnbench.stats.settling", "from bnbench.protocol.protocol import FitKey"),
        ("bnbench.sweep.status", "import bnbench"),
    ],
)
def test_an_import_that_goes_up_or_across_is_found(module: str, line: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"{MODULES[module].read_text()}\n{line}\n")
    assert len(against_the_rule(module, planted)) == 1


def test_no_imports_go_in_a_circle() -> None:
    graph = {
        name: {other for other in imported(path, at_the_top=True) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_core_stands_alone() -> None:
    others = ("bnbench.mpo", "bnbench.errors", "bnbench.bn_policy")
    for name, path in MODULES.items():
        if name.startswith("bnbench.mpo"):
            own = {other for other in imported(path, at_the_top=False) if other.startswith("bnbench")}
            assert all(other.startswith(others) for other in own), (name, own)


def is_at_home(package: str, user: str) -> bool:
    """Say whether a module may import a package: it is named whole, or lies below what is named."""
    return any(user == home or user.startswith(f"{home}.") for home in HOMES[package])


def users(package: str, modules: dict[str, Path]) -> set[str]:
    return {
        name
        for name, path in modules.items()
        if any(other.partition(".")[0] == package for other in imported(path, at_the_top=False))
    }


@pytest.mark.parametrize("package", HOMES)
def test_an_outside_package_has_one_home(package: str) -> None:
    found = users(package, MODULES)
    assert found, f"nobody imports {package}"
    assert {user for user in found if not is_at_home(package, user)} == set()


def test_a_guest_in_another_home_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "stats.py"
    planted.write_text("def inside() -> None:\n    import pyarrow.parquet as pq\n")
    assert users("pyarrow", {"bnbench.stats.differences": planted}) == {"bnbench.stats.differences"}
    assert not is_at_home("pyarrow", "bnbench.stats.differences")
    assert not is_at_home("pyarrow", "bnbench.results.store_of_another_kind")


def test_rooms_are_small() -> None:
    """About 250 lines, as CONTRIBUTING.md says: a handful more is no reason to split."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 260} == {}


NO_VERB = re.compile(r"(The|An?|How|What|Which|Since|Who|Whether|Why|Where|Each|All|Every|Means|Our|Its)\b")


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    """The functions of a module that others may call; a property is named, not called."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    return [node for node in found if "property" not in " ".join(map(ast.unparse, node.decorator_list))]


def test_what_a_public_function_does_begins_with_a_verb() -> None:
    """A docstring is a sentence: it says that the function returns something, not what the thing is."""
    first = {
        f"{module}.{function.name}": (ast.get_docstring(function) or "").partition("\n")[0]
        for module, path in MODULES.items()
        for function in functions(ast.parse(path.read_text()))
    }
    del first["bnbench.cli.group.cli"]  # the program's question
    assert {name: text for name, text in first.items() if NO_VERB.match(text)} == {}


# In this order, in one process: what is imported, and what it must not have loaded.
WITHOUT = {
    "bnbench": ("torch", "pandas"),
    "bnbench.protocol.parsing": ("torch", "pandas"),
    "bnbench.cli": ("torch", "pandas"),
    "bnbench.report.build": ("torch",),
}


def test_the_command_line_and_a_report_are_loaded_without_torch() -> None:
    """And the package lists what it offers before any of it is loaded."""
    lines = [
        "import bnbench, importlib, sys",
        "assert {*bnbench.__all__} == {one for one in dir(bnbench) if one[0] != '_'}",
    ]
    for module, heavy in WITHOUT.items():
        lines += [f"importlib.import_module('{module}')", f"assert not {set(heavy)!r} & set(sys.modules), '{module}'"]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, check=False).returncode == 0
