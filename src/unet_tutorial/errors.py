"""The one error that is meant for people."""


class UserError(Exception):
    """Bad input, told in one line: which file, what is wrong, what to do.

    The command line prints its message without a traceback and exits with 1.
    """
