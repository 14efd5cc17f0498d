"""The one error that is meant for people."""


class UserError(Exception):
    """Bad input, told in one line: which file, what is wrong, what to do.

    The command line prints its message without a traceback and exits with 1.
    """


def reason_of(error: Exception) -> str:
    """What somebody else's error says, on one line, for one of ours."""
    return " ".join(str(error).split())[:300] or type(error).__name__
