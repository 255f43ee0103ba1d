"""The house: imports go one way, each outside package has one home, rooms are small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bnbench"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Package to the modules that may import it; a name stands for itself and what lies below it.
HOMES = {
    "click": ("bnbench.cli",),
    "joblib": ("bnbench.runner", "bnbench.cluster"),
    "dask": ("bnbench.cluster",),
    "distributed": ("bnbench.cluster",),
    "seaborn": ("bnbench.report",),
    "matplotlib": ("bnbench.report",),
    "jinja2": ("bnbench.report",),
    "pyarrow": ("bnbench.store",),
    "rich": ("bnbench.cli", "bnbench.watching"),
    "safetensors": ("bnbench.planes",),
    "tomli_w": ("bnbench.config",),
    "sklearn": ("bnbench.data",),
    "torchvision": ("bnbench.data",),
}


def imported(path: Path, *, at_the_top: bool) -> set[str]:
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
    return found


def _run_at_import(node: ast.stmt) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return []
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return []
    return list(ast.walk(node))


def flow() -> list[str]:
    """The modules below bnbench in the order of CONTRIBUTING.md, a package as one of them."""
    (block,) = re.findall(
        r"^```text\n(errors, .*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [*re.findall(r"\w+", block), "__main__", ""]  # what starts it, and the package itself, which offers the rest


def place(module: str) -> str:
    """The module or package below bnbench that a module is, or is in."""
    return module.partition(".")[2].partition(".")[0]


def against_the_flow(module: str, path: Path) -> list[str]:
    """What a module imports from behind it, at the top or in a function."""
    order = {name: number for number, name in enumerate(flow())}
    own = [other for other in imported(path, at_the_top=False) if other.partition(".")[0] == "bnbench"]
    return [other for other in own if place(other) != place(module) and order[place(other)] >= order[place(module)]]


def test_every_module_has_one_place() -> None:
    assert sorted(flow()) == sorted({place(module) for module in MODULES})


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    assert against_the_flow(module, MODULES[module]) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bnbench.seeds", "from bnbench.cli.options import ARMS"),
        ("bnbench.knobs", "def inside() -> None:\n    from bnbench.store import read_fit"),
        ("bnbench.masks", "from bnbench.report import style"),
        ("bnbench.seeds", "import bnbench.runner"),
        ("bnbench.protocol", "from .store import read_fit"),
        ("bnbench.status", "import bnbench"),
    ],
)
def test_an_import_that_goes_forward_is_found(module: str, line: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(f"{MODULES[module].read_text()}\n{line}\n")
    assert len(against_the_flow(module, planted)) == 1


def test_no_imports_go_in_a_circle() -> None:
    graph = {
        name: {other for other in imported(path, at_the_top=True) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_core_knows_no_files_masks_or_command_line() -> None:
    allowed = ("bnbench.mpo", "bnbench.images", "bnbench.protocol", "bnbench.sections", "bnbench.errors")
    for name, path in MODULES.items():
        if name.startswith("bnbench.mpo"):
            own = {other for other in imported(path, at_the_top=False) if other.startswith("bnbench")}
            assert all(other.startswith(allowed) for other in own), (name, own)


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
    assert all(user.startswith(HOMES[package]) for user in found), found


def test_a_guest_in_another_home_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "stats.py"
    planted.write_text("def inside() -> None:\n    import pyarrow.parquet as pq\n")
    assert users("pyarrow", {"bnbench.stats": planted}) == {"bnbench.stats"}
    assert not "bnbench.stats".startswith(HOMES["pyarrow"])


def test_rooms_are_small() -> None:
    """About 250 lines, as CONTRIBUTING.md says: a handful more is no reason to split."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 260} == {}


def test_the_package_lists_what_it_offers_before_it_is_loaded() -> None:
    code = "import sys, bnbench; assert set(bnbench.__all__) <= set(dir(bnbench)); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_help_needs_no_torch() -> None:
    code = "import sys, bnbench.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
