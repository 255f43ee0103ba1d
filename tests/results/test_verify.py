"""``bnbench verify``: each damaged file has a line, and the exit code says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from bnbench.cli.group import cli
from bnbench.results import digests, layout, store
from bnbench.results.checkpoints import Checkpoint, save_checkpoint
from bnbench.results.evaluations import read_kind
from bnbench.results.fits import read_fit
from bnbench.results.folder_protocol import open_folder
from bnbench.results.tables import write_table
from bnbench.results.verify import record, verify
from tests.fits import IDENTITY, KEY, SMOKE, make_result

COMMITTED = Path(__file__).parents[2] / "results" / "compact"
VICTIM = "fits/plain_p0.500_seed1.parquet"
TABLES = ("landscapes", "frames", "smoothness", "smoothness/planes")


@pytest.fixture
def sweep(folder: Path) -> Path:
    """A fit, a checkpoint and a table of each kind that verify reads."""
    open_folder(folder, SMOKE)
    result = make_result()
    store.write_fit(folder, result)
    save_checkpoint(folder, KEY, Checkpoint(IDENTITY, {"step": 3}, 1.0, 1, {}))

    for name in TABLES:
        (folder / name).mkdir(parents=True)
        (folder / name / "one.parquet").write_bytes(write_table(result.landscape))

    return folder


def test_undamaged_files_are_counted_and_found_whole(sweep: Path) -> None:
    found = verify(sweep)
    assert (found.checked, found.damaged, found.without_digest) == (3 + len(TABLES), {}, [])
    assert CliRunner().invoke(cli, ["verify", str(sweep)]).exit_code == 0


@pytest.mark.parametrize(
    "name", ["protocol.json", "fits/{}.parquet", "running/{}.pt", *(f"{name}/one.parquet" for name in TABLES)]
)
def test_a_damaged_file_is_named_and_the_exit_code_is_1(sweep: Path, name: str) -> None:
    path = sweep / name.format(layout.fit_name(KEY))
    content = path.read_bytes()
    place = content.index(b"300") if path.suffix == ".json" else len(content) // 8  # its steps, or its data
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    answer = CliRunner().invoke(cli, ["verify", "--json", str(sweep)])
    said = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert str(path) in [one["file"] for one in said["damaged"]]


def test_recorded_digests_hold_a_file_without_its_own(sweep: Path) -> None:
    (sums,) = record(sweep)
    path = layout.fit_path(sweep, KEY)
    assert digests.read_sums(sweep).of_files == {f"fits/{path.name}": digests.sum_of(path.read_bytes())}
    sums.write_text(f"{'0' * 64}  fits/{path.name}\n{'0' * 64}  fits/gone.parquet\n")
    assert set(verify(sweep).damaged) == {path, sweep / "fits" / "gone.parquet"}
    read_fit(path)  # computed anew since: its own digest holds it
    sums.write_text("no list of digests\n")
    read_fit(path)
    assert set(verify(sweep).damaged) == {sums}


@pytest.mark.parametrize(
    "line",
    [
        "{digest} *{name}",  # as sha256sum --binary writes it
        "{digest}  ./{name}",
        "\\{digest}  {escaped}",  # of a name with a backslash or a new line
        "{DIGEST}  {name}",
    ],
)
def test_a_list_is_read_however_sha256sum_wrote_it(line: str, tmp_path: Path) -> None:
    path = tmp_path / "fits" / "a\\b\n\\n.parquet"
    path.parent.mkdir()
    path.write_bytes(b"a fit")
    name, digest = path.relative_to(tmp_path).as_posix(), digests.sum_of(b"a fit")
    if "escaped" not in line:
        name = "fits/plain.parquet"
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
    text = line.format(digest=digest, DIGEST=digest.upper(), name=name, escaped=escaped)
    digests.sums_path(tmp_path).write_text(f"{text}\n\n")
    assert digests.read_sums(tmp_path) == digests.Sums({name: digest})


@pytest.mark.parametrize("odd", [b"# made on Monday\n", b"SHA256 (fits/x) = 00\n", b"\xff\xfe\n", b"0" * 64 + b"\n"])
def test_an_odd_line_of_a_list_is_named_and_damages_no_fit(odd: bytes, tmp_path: Path) -> None:
    for name in ("protocol.json", VICTIM):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(COMMITTED / name, tmp_path / name)
    (sums,) = record(tmp_path)
    sums.write_bytes(odd + sums.read_bytes())
    read_fit(tmp_path / VICTIM)
    assert set(verify(tmp_path).damaged) == {sums}
    shutil.copy(COMMITTED / "fits" / "plain_p0.500_seed2.parquet", tmp_path / VICTIM)
    assert set(verify(tmp_path).damaged) == {sums, tmp_path / VICTIM}, "the other lines still hold"


def test_a_list_that_cannot_be_read_is_named_by_the_fits_that_need_it(tmp_path: Path) -> None:
    (tmp_path / VICTIM).parent.mkdir()
    shutil.copy(COMMITTED / VICTIM, tmp_path / VICTIM)
    digests.sums_path(tmp_path).mkdir()
    with pytest.raises(store.StoreError, match=r"cannot be read .*SHA256SUMS"):
        read_fit(tmp_path / VICTIM)


def test_the_flipped_bit_that_turned_the_gap_of_compact_is_refused(tmp_path: Path) -> None:
    """Byte 38,076 of plain, p 0.5, seed 1, became Q for A, in a fit that has no digest of its own."""
    for name in ("protocol.json", "SHA256SUMS", VICTIM):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(COMMITTED / name, tmp_path / name)
    path = tmp_path / VICTIM
    read_fit(path)
    content = bytearray(path.read_bytes())
    content[38_076] ^= ord("A") ^ ord("Q")
    path.write_bytes(content)
    with pytest.raises(store.StoreError, match=path.name):
        read_fit(path)
    assert path in verify(tmp_path).damaged


def test_a_fit_without_digest_is_held_to_the_list_by_every_reader(tmp_path: Path) -> None:
    for name in ("protocol.json", VICTIM):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(COMMITTED / name, tmp_path / name)
    assert verify(tmp_path).without_digest == [tmp_path / VICTIM]
    record(tmp_path)
    assert verify(tmp_path).without_digest == []
    shutil.copy(COMMITTED / "fits" / "plain_p0.500_seed2.parquet", tmp_path / VICTIM)
    with pytest.raises(store.StoreError, match="SHA256SUMS"):
        read_fit(tmp_path / VICTIM)


def test_a_folder_of_fits_that_cannot_be_listed_is_damage_and_others_are_checked(sweep: Path) -> None:
    shutil.copytree(sweep, sweep.parent / "whole")
    shutil.rmtree(sweep / "fits")
    (sweep / "fits").symlink_to("fits")
    found = verify(sweep.parent)
    assert str(sweep / "fits") in " ".join(found.damaged.values())
    assert found.checked > 3


def test_nothing_to_verify_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="no results"):
        verify(tmp_path)
    with pytest.raises(store.StoreError, match="gone"):
        read_kind(tmp_path / "gone.parquet", "summaries")
