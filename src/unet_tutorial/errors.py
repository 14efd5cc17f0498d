"""The one error that is meant for people."""

from collections.abc import Sequence


class UserError(Exception):
    """Bad input, told in one line: which file, what is wrong, what to do.

    The command line prints its message without a traceback and exits with 1.
    """


def check_known(kind: str, name: str | None, known: Sequence[str | None]) -> None:
    """See that a name is one of those that are known; None among them is no name.

    Raises:
        UserError: if it is not; it lists them.
    """
    if name not in known:
        choices = ", ".join(choice for choice in known if choice)
        end = ", or leave it out" if None in known else ""
        raise UserError(f"{kind} '{name}' is not known: choose one of {choices}{end}")


def reason_of(error: Exception) -> str:
    """What somebody else's error says, on one line, for one of ours."""
    return " ".join(str(error).split())[:300] or type(error).__name__
