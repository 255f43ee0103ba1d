"""The statistics that batch normalization uses where a landscape is measured: a policy, read from its text once.

It lies beside the rooms, because a protocol names a policy and the core carries it out, and neither room imports the
other. To add a policy, name it in :data:`KINDS` and say in ``bnbench.mpo.landscape`` what it does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bnbench.errors import RequestError
from bnbench.wording import shown

# Name of a kind, and whether it estimates the statistics on training images beforehand.
KINDS = {"batch": False, "recalibrate": True}
_WANTED = f"give {' or '.join(f'{kind}:N' for kind in KINDS)} with N images, such as batch:512"
_TEXT = re.compile(rf"({'|'.join(KINDS)}):([1-9][0-9]{{0,8}})")


@dataclass(frozen=True, order=True)
class BnPolicy:
    """A policy: where batch normalization takes its statistics from.

    Attributes:
        kind: ``batch``, each N images are normalized by their own statistics; ``recalibrate``, all are by those of N
            training images, estimated anew at each pixel; or ``none``, of a network without batch normalization
            (:data:`~bnbench.bn_policy.NO_BN`).
        images: N, at least 1; 0 where the kind is ``none``.
    """

    kind: str
    images: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.images}" if self.images else self.kind

    @property
    def reference(self) -> int:
        """Return the number of training images that it needs."""
        return self.images if KINDS.get(self.kind, False) else 0

    @classmethod
    def parse(cls, text: object, name: str = "BN statistics") -> BnPolicy:
        """Read a policy that can be asked for: ``batch:512`` or ``recalibrate:512``; ``str`` gives the text back.

        Args:
            text: the policy; anything that is no text is refused.
            name: what the error calls it, such as an option of the command line.

        Raises:
            RequestError: it is no policy.
        """
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise RequestError(f"{name} {shown(text)}: {_WANTED}.")
        return cls(match[1], int(match[2]))

    @classmethod
    def parse_stored(cls, text: str) -> BnPolicy:
        """Read the policy of a result, which is ``none`` for a network without batch normalization.

        Raises:
            RequestError: it is no policy.
        """
        return NO_BN if text == str(NO_BN) else cls.parse(text)


NO_BN = BnPolicy("none", 0)  # what the results of a network without batch normalization are kept under
