"""A run of a job for tests."""

from service.jobs.job import Progress


class Recorder:
    """A run that keeps what it is told."""

    def __init__(self, job_id: str, stop_after: int = 10**9) -> None:
        self.job_id = job_id
        self.attempt = 1
        self.reports: list[Progress] = []
        self.checks = 0
        self.stop_after = stop_after

    def report(self, progress: Progress) -> None:
        self.reports.append(progress)

    def raise_if_stopped(self) -> None:
        self.checks += 1
        if self.checks >= self.stop_after:
            raise InterruptedError

    def confirm(self) -> None:
        self.raise_if_stopped()
