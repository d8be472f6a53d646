"""Fine-tuned models as the TimeGPT protocol knows them: this service's architecture `zero_shot`, trained by a job."""

import asyncio
import uuid
from typing import Any

from service.api.dependencies import Services
from service.api.protocols.timegpt_bodies import FineTuneBody, read_loss
from service.api.schemas.train import TrainBody
from service.api.train_jobs import make_jobs
from service.api.validation import check
from service.domain.panel import Panel
from service.domain.recipes.presets import PRESETS
from service.errors import Conflict, InvalidRequest, ModelNotFound
from service.jobs.job import Job
from service.store.layout import is_name
from service.store.manifest import Manifest
from service.store.model_entry import ModelEntry

ARCHITECTURE = "zero_shot"
# The client's default, which is the preset's epochs here; others are in proportion.
USUAL_STEPS = 10
MOST_EPOCHS = 200
POLL_SECONDS = 0.25
# The same fine-tuning, after those before were cancelled, failed or deleted.
MOST_TRIES = 100


def name_by_content(panel: Panel, steps: int, loss: str) -> str:
    """The same series and options have the same name, so that a request that is sent again trains nothing anew."""
    return f"finetuned-{panel.digest()[:16]}-{steps}-{loss}"


async def fine_tune(services: Services, body: FineTuneBody, panel: Panel) -> str:
    """Fine-tunes the zero-shot model, waits for it and returns the new model's name.

    A caller that goes away leaves the job as it is: with the same body it finds it again.

    Raises:
        InvalidRequest: options or series that can't be trained with, or the job failed for a reason of theirs.
        Conflict: somebody cancelled it.
        QueueFull, UploadsFull.
    """
    job = await submit_fine_tuning(services, body, panel)
    while not job.is_ended:
        await asyncio.sleep(POLL_SECONDS)
        job = await services.jobs.get(job.id)
    if job.status == "cancelled":
        raise Conflict("The fine-tuning was cancelled. Send it again to begin anew.")
    if job.error is not None:
        raise InvalidRequest.at("/series", job.error["code"], job.error["message"])
    await services.registry.refresh()
    return job.model


async def submit_fine_tuning(services: Services, body: FineTuneBody, panel: Panel) -> Job:
    """The job of a fine-tuning: the one that there is, where the same was submitted before.

    Raises:
        InvalidRequest, QueueFull, UploadsFull.
    """
    if body.finetuned_model_id:
        raise InvalidRequest.at(
            "/finetuned_model_id",
            "not_supported",
            "This service fine-tunes its zero-shot model only. Leave finetuned_model_id out.",
        )
    name = body.output_model_id or str(uuid.uuid4())
    if not is_name(name):
        raise InvalidRequest.at(
            "/output_model_id",
            "bad_name",
            f"A model's name begins with a letter or digit, and goes on with up to 99 letters, digits, '.', '_', '-'; "
            f"got {name[:100]!r}.",
        )
    epochs = max(1, round(PRESETS[ARCHITECTURE].panel_epochs * body.finetune_steps / USUAL_STEPS))
    loss = read_loss(body.finetune_loss)
    fields = {
        "architecture": ARCHITECTURE,
        "name": name,
        "epochs": min(epochs, MOST_EPOCHS),
        "data": {
            "kind": "series",
            "series": [values.tolist() for values in panel.values],
            **({} if panel.freq is None else {"freq": panel.freq}),
        },
        **({} if loss is None else {"loss": loss}),
    }
    train = await asyncio.to_thread(check, fields, TrainBody)
    asked, keep = await asyncio.to_thread(make_jobs, train, services.datasets, services.settings.each_job_bytes)
    key = f"finetune-{name}-{panel.digest()[:32]}-{body.finetune_steps}-{body.finetune_loss}"
    [job] = await services.jobs.submit_all(asked, idempotency_key=key, keep=keep)
    for again in range(1, MOST_TRIES):
        if not job.is_ended or (job.status == "succeeded" and await _is_there(services, job)):
            break
        # It came to nothing, or what came of it was deleted: it is done anew.
        [job] = await services.jobs.submit_all(asked, idempotency_key=f"{key}-{again}", keep=keep)
    return job


async def list_fine_tuned(services: Services) -> list[dict[str, Any]]:
    """All fine-tuned models."""
    await services.registry.refresh()
    return [_describe(entry) for entry in services.catalog.models() if _is_fine_tuned(entry)]


async def describe_fine_tuned(services: Services, name: str) -> dict[str, Any]:
    """One of them. Raises ModelNotFound."""
    return _describe(await _find(services, name))


async def delete_fine_tuned(services: Services, name: str) -> None:
    """Removes a fine-tuned model. Raises ModelNotFound."""
    entry = await _find(services, name)
    await asyncio.to_thread(services.catalog.delete_model, entry.name)
    await services.registry.refresh()


async def _find(services: Services, name: str) -> ModelEntry:
    await services.registry.refresh()
    for entry in services.catalog.models():
        if entry.name == name and _is_fine_tuned(entry):
            return entry
    raise ModelNotFound(f"There is no fine-tuned model {name[:100]!r}.")


async def _is_there(services: Services, job: Job) -> bool:
    """Whether what a job published is still in the store."""
    await services.registry.refresh()
    versions = [
        manifest for entry in services.catalog.models() if entry.name == job.model for manifest in entry.versions
    ]
    return any(manifest.job_id == job.id for manifest in versions)


def _newest(entry: ModelEntry) -> Manifest:
    return entry.current or entry.versions[-1]


def _is_fine_tuned(entry: ModelEntry) -> bool:
    # The model that ships with the package was trained by no job.
    return _newest(entry).architecture == ARCHITECTURE and _newest(entry).job_id is not None


def _describe(entry: ModelEntry) -> dict[str, Any]:
    manifest = _newest(entry)
    return {
        "id": entry.name,
        "created_at": manifest.created_at,
        "created_by": "outfielder",
        "base_model_id": "zero-shot",
        "steps": manifest.epochs_run,
        "depth": 1,
        "loss": str(manifest.hyper_parameters.get("loss", "default")),
        "model": "timegpt-1",
        "freq": manifest.data.get("freq") or "",
    }
