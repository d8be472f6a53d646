"""Distinguishes a model that doesn't exist from one that is still training."""

from service.errors import ModelNotFound, ServiceError, StillTraining
from service.jobs.job import Job
from service.jobs.queue import JobQueue
from service.store.catalog import FAVOURITES


async def explain_missing(jobs: JobQueue, name: str | None, error: ModelNotFound) -> ServiceError:
    """The error for a model that is not in the store: StillTraining where a job will publish it.

    Args:
        name: the requested model; None for the default model of an empty store.
    """
    job = await (_find_first(jobs) if name is None else jobs.find_active(name))
    return error if job is None else StillTraining(_describe(job), _summarize(job))


async def _find_first(jobs: JobQueue) -> Job | None:
    """The job of the model that will be the default one: the favourite, else what will be there first."""
    for name in FAVOURITES:
        favourite = await jobs.find_active(name)
        if favourite is not None:
            return favourite
    for status in ("running", "queued"):
        jobs_of_status, _ = await jobs.page(status=status, limit=1000)
        training = [job for job in jobs_of_status if job.kind == "train"]
        if training:
            return training[-1]
    return None


def _describe(job: Job) -> str:
    progress = job.progress
    if job.status == "queued" or progress is None:
        how_far = "its job is waiting" if job.status == "queued" else "its job has begun"
    else:
        eta = "" if progress.eta_seconds is None else f", about {progress.eta_seconds:.0f} s to go"
        how_far = f"epoch {progress.epoch} of {progress.epochs}{eta}"
    return (
        f"The model {job.model!r} is still training: {how_far}. Follow GET /jobs/{job.id}/events, and try again when "
        "it is done."
    )


def _summarize(job: Job) -> dict[str, object]:
    progress = job.progress
    return {
        "id": job.id,
        "status": job.status,
        "epoch": None if progress is None else progress.epoch,
        "epochs": None if progress is None else progress.epochs,
        "eta_seconds": None if progress is None else progress.eta_seconds,
    }
