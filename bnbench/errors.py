"""What a user asked for and cannot have."""

import re


class RequestError(ValueError):
    """A request that cannot be met: one sentence that names the option, the value and the way out."""

    @property
    def as_command(self) -> str:
        """Return the sentence as the command says it, with its options."""
        return str(self.args[0]) if self.args else str(self)


class KnobError(RequestError):
    """A knob that cannot have its value: Python reads ``learning_rate -1``, where the command has its option.

    Its one argument is the sentence of the command.
    """

    def __str__(self) -> str:
        return re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), str(self.args[0]))


class ArmError(RequestError):
    """An arm that cannot work; the message says which, why, and what would."""


class Signalled(BaseException):
    """Raised by a signal handler of bnbench's own: it comes from outside, and is no fault of the code that it ends."""
