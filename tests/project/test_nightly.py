"""What is left to nightly runs there, and when what it guards has changed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests import nightly

TESTS = nightly.ROOT / "tests"


def test_every_long_test_belongs_to_one_part() -> None:
    marked = {
        path.relative_to(nightly.ROOT).as_posix()
        for path in TESTS.rglob("test_*.py")
        if re.search(r"mark\.nightly\b", path.read_text()) and path.name != Path(__file__).name
    }
    held = [name for part in nightly.PARTS.values() for name in part.tests]
    assert sorted(held) == sorted(marked)


def test_every_module_is_guarded_by_a_part() -> None:
    guarded = {path for part in nightly.PARTS.values() for path in part.guarded}
    assert sorted(set((nightly.ROOT / "bnbench").rglob("*.py")) - guarded) == []


def test_a_part_guards_what_its_tests_import() -> None:
    part = nightly.Part((), tests=("tests/project/test_nightly.py", "tests/sweep/test_shared_process.py"))
    found = {path.relative_to(nightly.ROOT).as_posix() for path in part.guarded}
    assert {"tests/nightly.py", "tests/fits.py", "bnbench/sweep/backends/shared_process.py"} <= found


@pytest.mark.parametrize("name", nightly.PARTS)
def test_a_part_guards_files_that_are_there_and_its_own(name: str) -> None:
    part = nightly.PARTS[name]
    assert [pattern for pattern in part.guards if not any(nightly.ROOT.glob(pattern))] == []
    assert set(part.tests) <= set(part.guards)


def test_a_part_is_due_when_what_it_guards_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly, "ROOT", tmp_path)
    monkeypatch.setattr(nightly, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(nightly, "PARTS", {"one": nightly.Part(("a/*.py",)), "two": nightly.Part(("b.md",))})
    monkeypatch.setattr(nightly, "run", lambda part: 0)
    monkeypatch.setattr("sys.argv", ["nightly"])
    (tmp_path / "a").mkdir()
    assert nightly.chosen([]) == ["one", "two"]
    nightly.main()
    assert nightly.chosen([]) == []
    (tmp_path / "a" / "new.py").touch()
    assert nightly.chosen([]) == ["one"]
    assert nightly.chosen(["all"]) == ["one", "two"]
    monkeypatch.setattr(nightly, "run", lambda part: 3)
    with pytest.raises(SystemExit, match="3"):
        nightly.main()
    assert nightly.chosen([]) == ["one"], "what has failed is due again"


def test_no_part_guards_a_file_that_git_ignores() -> None:
    """Another machine does not have it, so that a part that has passed here would be due there."""
    guarded = {path.relative_to(nightly.ROOT).as_posix() for part in nightly.PARTS.values() for path in part.guarded}
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=nightly.ROOT,
        input="\n".join(sorted(guarded)),
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 128:
        pytest.skip("no git repository")
    assert found.stdout.split() == []
