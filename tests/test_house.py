"""The house: imports go one way, each outside package has one home, rooms are small."""

from __future__ import annotations

import ast
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


def test_imports_go_one_way() -> None:
    graph = {
        name: {other for other in imported(path, at_the_top=True) if other in MODULES and other != name}
        for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_the_core_knows_no_files_masks_or_command_line() -> None:
    allowed = ("bnbench.mpo", "bnbench.data", "bnbench.protocol", "bnbench.knobs", "bnbench.errors")
    for name, path in MODULES.items():
        if name.startswith("bnbench.mpo"):
            own = {other for other in imported(path, at_the_top=False) if other.startswith("bnbench")}
            assert all(other.startswith(allowed) for other in own), (name, own)


@pytest.mark.parametrize("package", HOMES)
def test_an_outside_package_has_one_home(package: str) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if any(other.partition(".")[0] == package for other in imported(path, at_the_top=False))
    }
    assert users, f"nobody imports {package}"
    assert all(user.startswith(HOMES[package]) for user in users), users


def test_rooms_are_small() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 270} == {}


def test_help_needs_no_torch() -> None:
    code = "import sys, bnbench.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
