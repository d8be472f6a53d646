"""Why a run of a job ends without a result. A file of their own: the process that performs jobs loads no job engine."""


class JobStopped(Exception):
    """The job was cancelled, or another worker took it over."""


class RunLost(Exception):
    """The process that performed the job died. The job is run again, up to a number of times."""


class JobFailed(Exception):
    """The job failed in another process; `code` and `name` are those of the error there."""

    def __init__(self, message: str, code: str, name: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.name = name
