"""What a user asked for and cannot have."""


class RequestError(ValueError):
    """A request that cannot be met: one sentence that names the option, the value and the way out."""


class ArmError(RequestError):
    """An arm that cannot work; the message says which, why, and what would."""
