"""The engine on a GPU: is it right, how fast, how near to what the card can do, and does a sweep stop and go on?

    python benchmarks/gpu.py --device cuda:0 --out gpu/     (nox -s gpu)

Five parts in at most six minutes, each in a process of its own with a limit of time, the first two with time to
compile kernels where no cache has them; each result is printed as it comes. What a part had found when its time was
over is kept. Writes gpu.json, and gpu.md, the table that benchmarks/README.md includes once it lies beside it. Any
device will do: --device cpu takes small sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Part, what it asks, and its limit in seconds.
PARTS = {
    "right": ("gradient against float64", 100),
    "steps": ("milliseconds a step", 90),
    "ceilings": ("what the device can do", 15),
    "resumed": ("a sweep stopped and resumed", 105),
    "hour": ("fits an hour", 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        import gpu_parts

        gpu_parts.run(options.child, options.device, options.out)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (names := options.parts.split(",")):
        start_part(name, options)
    found = {name: rows_of(options.out, name) for name in names}
    (options.out / "gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    (options.out / "gpu.md").write_text(table(found))
    print(f"\n{table(found)}")
    if wrong := [row for rows in found.values() for row in rows if row.get("is_wrong")]:
        raise SystemExit(f"{len(wrong)} of these are wrong, the first: {wrong[0]['what']}, {wrong[0]['result']}")


def start_part(name: str, options: argparse.Namespace) -> None:
    """Run a part in a process of its own; it ends when its time is over."""
    question, limit = PARTS[name]
    path = options.out / f"{name}.jsonl"
    path.unlink(missing_ok=True)
    print(f"\n{name}: {question}", flush=True)
    start = time.perf_counter()
    command = [sys.executable, __file__, "--child", name, "--device", options.device, "--out", str(options.out)]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        said = f"ended with {ended}" if (ended := child.wait(limit)) else ""
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # with the sweeps that it has started
        child.wait()
        said = f"cut off after its {limit} s"
    if said:
        keep(path, what="this part", result=said, is_wrong=said.startswith("ended"))
    print(f"({time.perf_counter() - start:.0f} s)", flush=True)


def keep(path: Path, **row: Any) -> None:
    """Print a result, and keep it whatever happens next."""
    print(f"  {row['what']:52}{row['result']}{'  WRONG' if row.get('is_wrong') else ''}", flush=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def rows_of(out: Path, name: str) -> list[dict[str, Any]]:
    """Return what a part has found."""
    path = out / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return all results as a Markdown table."""
    lines = ["| part | what | result |", "|---|---|---|"]
    for name, rows in found.items():
        for row in rows:
            lines.append(f"| {name} | {row['what']} | {row['result']}{', **wrong**' if row.get('is_wrong') else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
