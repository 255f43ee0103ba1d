"""What a call from Python prints on its way: the sentences of the command, with the names of its own arguments."""

from __future__ import annotations

from pathlib import Path

from bnbench.interactive.naming import Names, in_python
from bnbench.sweep.messages import Messages


class MessagesOfACall(Messages):
    """Tells whoever called from Python what the command tells its user."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def note(self, sentence: str) -> None:
        """Print a sentence."""
        super().note(in_python(sentence, self._names))

    def over(self, folder: Path) -> None:
        """Print nothing: the result itself says how to look at it."""
