"""What a user asked for and cannot have."""


class RequestError(ValueError):
    """A request that cannot be met: one sentence that names the option, the value and the way out."""


class ArmError(RequestError):
    """An arm that cannot work; the message says which, why, and what would."""


class Signalled(BaseException):
    """Raised by a signal handler of bnbench's own: it comes from outside, and is no fault of the code that it ends."""
