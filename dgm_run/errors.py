"""Errors and warnings that a user sees as one line, without a traceback."""


class UserError(Exception):
    """Error that the user can correct. The message says what is wrong and what to write instead."""


class ConfigError(UserError):
    """Error in the configuration: its parts do not fit together."""


class DataError(UserError):
    """Error in a data set: missing, damaged or of the wrong kind."""


class CheckpointError(UserError):
    """Error in a checkpoint or a run folder that cannot be used."""


class TrainingError(UserError):
    """Error that ends training: a loss that is not finite, or a process that hangs."""


class OutOfMemory(UserError):
    """Error of exhausted memory. The message names the setting that was too large."""


class ResultsError(UserError):
    """Error while results are estimated or written. The trained model stays in the run folder."""


def join_warnings(*warnings: str | None) -> str | None:
    """Joins warnings, a line for each; None stands for no warning, in the arguments and in the result."""
    return "\n".join(filter(None, warnings)) or None
