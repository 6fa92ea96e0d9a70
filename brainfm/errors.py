"""The two ways in which a command ends badly, each one sentence for the user."""


class UsageError(ValueError):
    """The call or the configuration is wrong; found before any data is touched (exit code 2).

    The message is one sentence: what was met, what was wanted, what to do; it is empty where all processes
    of a training are refused alike and the first says why.
    """

    exit_code = 2


class WorkError(RuntimeError):
    """The work failed or is incomplete (exit code 1)."""

    exit_code = 1


class Stopped(WorkError):
    """A signal asked for the end, and the same command goes on; the code is that of SIGTERM's dead."""

    exit_code = 143
