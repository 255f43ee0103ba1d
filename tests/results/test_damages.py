"""A damaged results folder: each damage is named with its path by every reader, and costs what is damaged alone."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bnbench.results import layout, sweeps
from bnbench.results.fits import content_of, read_fit
from bnbench.results.store import StoreError
from tests.cli.test_cli import bnbench
from tests.results.damaged import DEEP, VICTIM, WHOLE, assert_named_and_left_out

Details = dict[str, Any]
Columns = dict[str, Any]


def change(path: Path, damage: Callable[[Details, Columns], Any], *, digest: bytes | None) -> None:
    """Write a fit's file again, changed, as somebody's script would."""
    table = pq.read_table(path, partitioning=None)
    details = json.loads(table.schema.metadata[b"bnbench"])
    details["format"] = 2 if digest else 1
    columns = {name: table.column(name).to_numpy().copy() for name in table.schema.names}
    text = damage(details, columns)
    schema = pa.schema([(n, t) for n, t in zip(table.schema.names, table.schema.types, strict=True) if n in columns])
    arrays = [
        value
        if isinstance(value, pa.Array)
        else pa.array(value, schema.field(name).type if name in schema.names else None)
        for name, value in columns.items()
    ]
    content = text if isinstance(text, bytes) else json.dumps(details).encode()
    metadata = {b"bnbench": content} | ({b"bnbench.digest": digest} if digest else {})
    pq.write_table(pa.table(arrays, names=list(columns)).replace_schema_metadata(metadata), path)


def rows(chosen: Callable[[int], Any]) -> Callable[[Details, Columns], None]:
    def damage(details: Details, columns: Columns) -> None:
        for name, values in columns.items():
            columns[name] = values[chosen(len(values))]

    return damage


def cell(name: str, value: Any, where: int = 7) -> Callable[[Details, Columns], None]:
    def damage(details: Details, columns: Columns) -> None:
        columns[name][where] = value

    return damage


def column(name: str, made: Callable[[Any], Any]) -> Callable[[Details, Columns], None]:
    def damage(details: Details, columns: Columns) -> None:
        columns[name] = made(columns[name])

    return damage


def drop(name: str) -> Callable[[Details, Columns], None]:
    return lambda details, columns: columns.pop(name)


def detail(*way: Any) -> Callable[[Details, Columns], None]:
    """Set what stands at the end of a way of names and numbers."""
    *names, last, value = way

    def damage(details: Details, columns: Columns) -> None:
        place: Any = details
        for name in names:
            place = place[name]
        place[last] = value

    return damage


def lose(*way: Any) -> Callable[[Details, Columns], None]:
    *names, last = way

    def damage(details: Details, columns: Columns) -> None:
        place: Any = details
        for name in names:
            place = place[name]
        del place[last]

    return damage


def text(made: Callable[[str], str | bytes]) -> Callable[[Details, Columns], bytes]:
    def damage(details: Details, columns: Columns) -> bytes:
        content = made(json.dumps(details))
        return content if isinstance(content, bytes) else content.encode()

    return damage


def unheaded(details: Details, columns: Columns) -> None:
    for row in details["summary"]:
        row["headline"] = False


DAMAGES: dict[str, Callable[[Details, Columns], Any]] = {
    "no rows": rows(lambda n: slice(0)),
    "half of the rows": rows(lambda n: slice(n // 2)),
    "all rows twice": rows(lambda n: np.tile(np.arange(n), 2)),
    "one row twice instead of another": rows(lambda n: np.r_[0, 0, 2:n]),
    "rows in another order": rows(lambda n: np.arange(n)[::-1]),
    "accuracy 1e9": cell("test_accuracy", 1e9),
    "accuracy a little above 1": cell("train_accuracy", 1.001),
    "accuracy negative": cell("test_accuracy", -0.1),
    "accuracy not a number": cell("test_accuracy", np.nan),
    "loss infinite": cell("test_loss", np.inf),
    "loss negative": cell("train_loss", -1e-3),
    "loss not a number": cell("train_loss", np.nan),
    "an accuracy changed": cell("test_accuracy", 0.0, where=0),
    "all training losses changed": column("train_loss", lambda values: values * np.float32(1.1)),
    "row 30000": cell("row", 30_000),
    "row -1": cell("row", -1),
    "column 6 of 6": cell("column", 6),
    "rows and columns exchanged": column("row", lambda values: values.reshape(6, 6).T.ravel()),
    "gaps": column("test_loss", lambda values: pa.array([None, *values[1:]], pa.float32())),
    "gaps in the arm": column("arm", lambda values: pa.array([None, *values[1:]], pa.string())),
    "another arm in the table": cell("arm", "plain"),
    "another p in the table": column("p", lambda values: values + 0.1),
    "another seed in the table": cell("seed", 2),
    "the mask inverted": column("black", lambda values: ~values),
    "a pixel of the other colour": lambda details, columns: columns["black"].__setitem__(3, ~columns["black"][3]),
    "every pixel trained": column("trained", np.ones_like),
    "no pixel trained": column("trained", np.zeros_like),
    "a column too few": drop("train_loss"),
    "a column too many": lambda details, columns: columns.update(more=columns["row"]),
    "columns in another order": lambda details, columns: columns.update(arm=columns.pop("arm")),
    "a column of another type": column("p", lambda values: pa.array(values, pa.float32())),
    "a column of text": column("seed", lambda values: pa.array(["1"] * len(values))),
    "a summary without rows": detail("summary", []),
    "a summary that is no list": detail("summary", {"black": 1}),
    "a summary of numbers": detail("summary", [1, 2]),
    "a summary without its headline": unheaded,
    "a summary that lacks a row of its headline": lambda details, columns: details["summary"].pop(0),
    "a summary with a row twice": lambda details, columns: details["summary"].append(details["summary"][0]),
    "a summary that contradicts its table": detail("summary", 0, "white", 0.0),
    "a summary with another difference": detail("summary", 0, "difference", 0.9),
    "a summary with another loss": detail("summary", 3, "black_loss", 9.0),
    "a summary under another policy": detail("summary", 0, "policy", "none"),
    "a summary of text": detail("summary", 0, "black", "much"),
    "a summary with a null": detail("summary", 0, "black", None),
    "a summary that is not finite": detail("summary", -1, "white_loss", float("inf")),
    "a summary with a share of 2": detail("summary", -1, "white", 2.0),
    "an empty identity": detail("identity", ""),
    "another identity": detail("identity", "0123456789abcdef"),
    "an identity that is a number": detail("identity", 7),
    "another hash": detail("hash", "0123456789ab"),
    "another protocol under its hash": detail("protocol", "training", "steps", 7),
    "a protocol without a section": lose("protocol", "mask"),
    "a protocol whose name is a list": detail("protocol", "profile", ["quick"]),
    "a protocol of text": detail("protocol", "quick"),
    "format 99": detail("format", 99),
    "a format of text": detail("format", "1"),
    "a format that is true": detail("format", True),
    "no format": lose("format"),
    "a format that promises a digest": detail("format", 2),
    "a key whose p is text": detail("key", "p", "0.3"),
    "a key whose p is none of thousandths": detail("key", "p", 0.3000001),
    "a key whose p is null": detail("key", "p", None),
    "a key whose arm is a number": detail("key", "arm", 3),
    "a key whose arm is a list": detail("key", "arm", ["bn"]),
    "a key whose seed is true": detail("key", "seed", True),
    "a key whose seed is 1.0": detail("key", "seed", 1.0),
    "a key with a field too many": detail("key", "more", 1),
    "a key with a field too few": lose("key", "seed"),
    "a key that is a list": detail("key", ["bn", 0.3, 1]),
    "the key of another fit": detail("key", "seed", 2),
    "a provenance that is a list": detail("provenance", []),
    "a provenance that is null": detail("provenance", None),
    "no provenance": lose("provenance"),
    "a wall time of text": detail("provenance", "wall_seconds", "long"),
    "a wall time that is not a number": detail("provenance", "wall_seconds", float("nan")),
    "a wall time below 0": detail("provenance", "wall_seconds", -1.0),
    "a wall time of 400 digits": detail("provenance", "wall_seconds", 10**400),
    "no wall time": lose("provenance", "wall_seconds"),
    "no device": lose("provenance", "device"),
    "threads of text": detail("provenance", "threads", "two"),
    "a chunk of 0": detail("provenance", "chunk", 0),
    "a start that is no time": detail("provenance", "started", "yesterday"),
    "a start without its zone": detail("provenance", "started", "2026-01-01T10:00:00"),
    "a note that is a number": detail("provenance", "note", 3),
    "half a letter in the provenance": detail("provenance", "note", "\ud800"),
    "an own field that is infinite": detail("provenance", "own", float("inf")),
    "an own field that is a list": detail("provenance", "git_revision", [1, 2]),
    "a source of a built-in arm": detail("source", "0123"),
    "a source that is a list": detail("source", []),
    "a trace of unequal columns": detail("trace", "scale", [1.0]),
    "a trace of text": detail("trace", "scale", "no list"),
    "a trace without steps": lose("trace", "step"),
    "a trace that goes backwards": lambda details, columns: details["trace"]["step"].reverse(),
    "a trace that names an arm": lambda details, columns: details["trace"].update(arm=details["trace"]["step"]),
    "a provenance that names another seed": detail("provenance", "seed", 9),
    "a summary whose numbers are text": lambda details, columns: [
        row.update(white=str(row["white"])) for row in details["summary"]
    ],
    "details that are a list": text(lambda content: f"[{content}]"),
    "details that are null": text(lambda content: "null"),
    "details cut off": text(lambda content: content[:-1]),
    "details nested too deeply": text(lambda content: f'{{"deep": {DEEP}, {content[1:]}'),
    "a provenance nested too deeply": text(
        lambda content: content.replace('"provenance": {', f'"provenance": {{"x": {DEEP}, ')
    ),
    "a name twice": text(lambda content: content.replace('"format": 1', '"format": 1, "format": 1')),
    "details that are not UTF-8": text(lambda content: content.encode().replace(b"a processor", b"a \xff processor")),
    "details in UTF-16": text(lambda content: content.encode("utf-16")),
    "empty details": text(lambda content: ""),
}


@pytest.mark.parametrize("damage", [*DAMAGES][::3])
def test_a_fit_without_digest_that_cannot_be_what_it_says_is_named(sweep: Path, damage: str) -> None:
    """A third of them by the report daily: all readers read a fit in one way, as all damages show by night."""
    path = layout.fit_path(sweep, VICTIM)
    change(path, DAMAGES[damage], digest=None)
    read = sweeps.read_sweep(sweep)
    assert [str(path) in sentence and "delete" not in sentence for sentence in read.broken] == [True]
    assert list(read.identities) == [WHOLE]


BY_EVERY_READER_DAILY = ("no rows", "accuracy 1e9", "no format", "details cut off")


@pytest.mark.parametrize(
    "damage",
    [pytest.param(name, marks=[] if name in BY_EVERY_READER_DAILY else pytest.mark.nightly) for name in DAMAGES],
)
def test_a_fit_without_digest_is_named_by_every_reader(sweep: Path, damage: str) -> None:
    path = layout.fit_path(sweep, VICTIM)
    change(path, DAMAGES[damage], digest=None)
    assert_named_and_left_out(sweep, path)


def test_a_fit_without_digest_and_without_damage_is_read(sweep: Path) -> None:
    path = layout.fit_path(sweep, VICTIM)
    before = content_of(read_fit(path))
    change(path, lambda details, columns: None, digest=None)
    assert content_of(read_fit(path)) == before
    assert sweeps.read_sweep(sweep).broken == []


# Each could have been so: without the digest nobody knows.
CREDIBLE: dict[str, Callable[[Details, Columns], Any]] = {
    "nothing at all, but written with another digest": lambda details, columns: None,
    "two losses exchanged": lambda details, columns: columns["test_loss"].__setitem__(
        np.flatnonzero(columns["black"])[:2], columns["test_loss"][np.flatnonzero(columns["black"])[1::-1]]
    ),
    "another summary of another policy": detail("summary", -1, "black_loss", 0.5),
    "a trace changed": detail("trace", "scale", 0, 0.2),
    "no trace": detail("trace", {}),
    "another device": detail("provenance", "device_name", "a faster processor"),
    "a wall time of one second": detail("provenance", "wall_seconds", 1.0),
    "format 1": detail("format", 1),
}


@pytest.mark.parametrize("damage", CREDIBLE)
def test_a_fit_that_was_changed_since_it_was_written_is_named(sweep: Path, damage: str) -> None:
    path = layout.fit_path(sweep, VICTIM)
    digest = pq.read_metadata(path).metadata[b"bnbench.digest"]
    change(path, CREDIBLE[damage], digest=digest if damage != next(iter(CREDIBLE)) else digest[::-1])
    assert_named_and_left_out(sweep, path)


def test_a_flipped_bit_is_named_or_changes_nothing(sweep: Path) -> None:
    path = layout.fit_path(sweep, VICTIM)
    content, before = path.read_bytes(), read_fit(path)
    named = unchanged = 0
    for place in np.linspace(0, 8 * len(content) - 1, 60).astype(int):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = read_fit(path)
        except StoreError as error:
            named += str(path) in str(error)
            continue
        unchanged += content_of(found) == content_of(before) and found.provenance == before.provenance
    assert named + unchanged == 60
    assert named > 20


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE, errno.EIO, errno.ELOOP])
def test_what_the_system_refuses_is_told_in_its_words(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path, real = layout.fit_path(sweep, VICTIM), os.open

    def refused(name: Any, *arguments: Any, **more: Any) -> int:
        if os.fspath(name) == str(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(name, *arguments, **more)

    monkeypatch.setattr(os, "open", refused)
    assert_named_and_left_out(sweep, path)
    (sentence,) = sweeps.read_sweep(sweep).broken
    assert os.strerror(number) in sentence
    assert "truncated" not in sentence


def test_the_commands_say_so_and_end_with_1(sweep: Path) -> None:
    path = layout.fit_path(sweep, VICTIM)
    change(path, DAMAGES["accuracy 1e9"], digest=None)
    for command in (
        ("status", str(sweep)),
        ("report", str(sweep), "--out", str(sweep.parent / "r"), "--format", "json"),
    ):
        answer = bnbench(*command, cwd=sweep.parent)
        assert answer.returncode == 1, answer.stderr
        assert (answer.stdout + answer.stderr).count(str(path)) == 1
        assert "Traceback" not in answer.stderr
    (record,) = json.loads((sweep.parent / "r" / "report.json").read_text())["protocols"]
    assert [row["arm"] for row in record["tables"]["fits"]["rows"]] == ["plain"]
