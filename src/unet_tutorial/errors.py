"""The one error that is meant for people."""


class UserError(Exception):
    """Bad input, told in one line: which file, what is wrong, what to do.

    The command line prints its message without a traceback and exits with 1.
    """


def reason_of(error: Exception) -> str:
    """The first line of what somebody else's error says, for one of ours."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
