"""``python -m tests.call FILE``: the other end of :func:`tests.warm.call`."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path


def main() -> None:
    path = Path(sys.argv[1])
    function, arguments, options = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(function(*arguments, **options)))


if __name__ == "__main__":
    main()
