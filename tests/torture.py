"""SIGKILL at random moments, and the same command again: nothing lost, nothing double, the same bits.

    python -m tests.torture                10 moments from a seed of today, two of each kind
    python -m tests.torture 50 1234        50 moments from seed 1234

The seed is printed first, and each moment before it comes, so that a failure can be repeated.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from bnbench.results.sweeps import read_sweep
from tests.shell import SWEEP, Running, Stamps, assert_same, assert_tidy, bnbench

LONG = (*SWEEP, "--steps", "300")  # moments enough, for a sweep that imports everything anew
# What is killed, up to how many seconds after which file has come; and in words. Without a file: after its start.
KINDS = (
    ("runner", 4.0, "", "its start"),
    ("runner", 1.5, "*.json", "a worker has begun a fit"),
    ("worker", 1.5, "*.json", "a worker has begun a fit"),
    ("runner", 0.3, "*.pt", "the first checkpoint"),
    ("worker", 0.3, "*.pt", "the first checkpoint"),
)
MOMENTS = 2 * len(KINDS)


class Torture:
    """Kills sweeps one after another, each until it ends all the same.

    Args:
        root: holds a folder for each sweep.
        undisturbed: results of the sweep that nobody disturbed.
        seed: of the moments.
        sweep: what follows ``bnbench run``.
        cold: with a new interpreter for each command and each of its workers.
        tell: told of each moment before it comes.
    """

    def __init__(
        self,
        root: Path,
        undisturbed: Path,
        seed: int,
        *,
        sweep: Sequence[str] = LONG,
        cold: bool = True,
        tell: Callable[[str], None] = print,
    ) -> None:
        self.root, self.undisturbed, self.sweep, self.cold = root, undisturbed, sweep, cold
        self.random, self.tell = random.Random(seed), tell
        self.sweeps = 0
        self.counts: Counter[str] = Counter()
        self.kinds: list[tuple[str, float, str, str]] = []  # those that are to come before any comes again
        self._next_sweep()

    def _next_sweep(self) -> None:
        self.folder = self.root / f"sweep{self.sweeps}"
        self.folder.mkdir()
        self.stamps = Stamps(self.folder / "results")

    def moment(self) -> None:
        """One SIGKILL at any moment: of the runner, whose workers must then end by themselves, or of one worker.

        Each kind comes once before any comes again.
        """
        if not self.kinds:
            self.kinds = self.random.sample(KINDS, len(KINDS))
        self.kill(*self.kinds.pop())

    def moment_of_a_checkpoint(self, victim: str) -> None:
        """One SIGKILL when there is something to go on from."""
        (kind,) = (kind for kind in KINDS if kind[0] == victim and kind[2] == "*.pt")
        self.kill(*kind)

    def kill(self, victim: str, within: float, sign: str, since: str) -> None:
        """Run the sweep, and kill its runner or a worker some seconds after a file that is a sign has come."""
        after = self.random.uniform(0.0, within)
        self.tell(f"sweep {self.sweeps}: SIGKILL to {victim} {after:.3f} s after {since}")
        running = Running(self.sweep, self.folder, cold=self.cold)
        try:
            if sign:
                running.wait_until(lambda: list((running.folder / "running").glob(sign)))
            self._watch(running, after)
            if victim == "runner":
                self.counts[victim] += not running.is_over
                running.process.kill()
            else:
                self._kill_a_worker(running)
                self._watch(running, 300.0)
            code = running.wait()
            running.wait_for_everyone()
        finally:
            running.end()
        self.stamps.look()
        assert "Traceback" not in running.said, running.said
        if code != 128 + signal.SIGKILL:
            assert code == 0, running.said
            self._check()

    def end(self) -> None:
        """Let the sweep at hand end undisturbed, if it was disturbed at all."""
        if not self.folder.joinpath("results").exists():
            return
        code, said = bnbench(self.sweep, self.folder, cold=self.cold)
        self.stamps.look()
        assert code == 0, said
        self._check()

    def _watch(self, running: Running, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not running.is_over and time.monotonic() < end:
            self.stamps.look()
            time.sleep(min(0.05, max(0.0, end - time.monotonic())))

    def _kill_a_worker(self, running: Running) -> None:
        if workers := running.workers():
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(sorted(workers)), signal.SIGKILL)
                self.counts["worker"] += 1

    def _check(self) -> None:
        """The sweep has ended: it is whole, the same as the undisturbed one, and nothing else is left."""
        results = self.folder / "results"
        assert_same(results, self.undisturbed)
        assert_tidy(results)
        parts = read_sweep(results).provenance["parts"]
        self.counts["fits"] += len(parts)
        self.counts["resumed"] += int((parts > 1).sum())
        self.sweeps += 1
        self._next_sweep()


def main() -> None:
    if sys.platform != "linux":
        print("nothing is killed here: processes are found in /proc")
        return
    moments = int(sys.argv[1]) if len(sys.argv) > 1 else MOMENTS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"{moments} moments from seed {seed}; the same again: python -m tests.torture {moments} {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        root = Path(name)
        (root / "undisturbed").mkdir()
        code, said = bnbench(LONG, root / "undisturbed", cold=True)
        assert code == 0, said
        torture = Torture(root, root / "undisturbed" / "results", seed)
        for _ in range(moments):
            torture.moment()
            sys.stdout.flush()
        torture.end()
    counts = torture.counts
    print(
        f"{counts['runner']} runners and {counts['worker']} workers killed in {torture.sweeps} sweeps: "
        f"{counts['fits']} fits, {counts['resumed']} of them resumed, all tables as in the undisturbed sweep"
    )
    assert counts["resumed"], "no fit went on from a checkpoint: more moments are needed"


if __name__ == "__main__":
    main()
