"""What a run tells its user when it cannot go on: one line, no traceback."""


class UserError(Exception):
    """A fault that the user can mend. The message says what is wrong and what to write instead."""


class ConfigError(UserError):
    """The configuration does not fit together."""


class DataError(UserError):
    """A data set is missing, damaged or of the wrong kind."""


class CheckpointError(UserError):
    """A checkpoint or a run folder cannot be used."""


class TrainingError(UserError):
    """Training cannot go on: the loss is not finite, or a process hangs."""


class OutOfMemory(UserError):
    """Memory ran out. The message says what was too large and what to lower."""


class ResultsError(UserError):
    """Results cannot be found or written. The training is kept."""
