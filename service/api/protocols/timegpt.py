"""The TimeGPT v2 protocol, so that its client works with only `base_url` changed.

Errors are this service's problem documents: the client raises its ApiError with status and body, whatever the body.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.dependencies import Injected, Services
from service.api.json_response import json_response
from service.api.protocols import timegpt_answers as answers
from service.api.protocols.fine_tuning import (
    delete_fine_tuned,
    describe_fine_tuned,
    fine_tune,
    list_fine_tuned,
    name_by_content,
    submit_fine_tuning,
)
from service.api.protocols.series_tensors import forecast_all, post
from service.api.protocols.timegpt_bodies import (
    AnomalyBody,
    CrossValidationBody,
    FineTuneBody,
    ForecastBody,
    OnlineAnomalyBody,
    find_model,
    raise_flaws,
    read_levels,
    read_panel,
    refuse_steps,
)
from service.api.protocols.version_names import resolve
from service.domain.panel import Panel
from service.errors import MOST_FLAWS, Flaw, InvalidRequest, JobNotFound, NoChampion
from service.jobs.job import Job
from service.serving.anomalies import AnomaliesRequest
from service.serving.backtest_plan import BacktestData, BacktestRequest
from service.serving.forecast_plan import ForecastRequest
from service.store.manifest import Manifest

router = APIRouter(include_in_schema=False)

POINTER = "/series/y"
# Enough for the client to send all that a model reads.
INPUT_SIZE = 4096
# The others have the same names there.
STATUS = {"queued": "pending"}
Task = Callable[[Request, Services], Awaitable[dict[str, Any]]]


@router.get("/validate_api_key")
async def validate_api_key() -> Response:
    """Whoever gets here has a key that is known, or needs none."""
    return json_response({"detail": "The API key is valid."})


@router.get("/usage")
async def usage() -> Response:
    """Nothing is counted or limited by key."""
    limits = {"usage": 0, "limit": None}
    return json_response({"minute": limits, "month": limits})


@router.get("/model_params")
async def model_params(services: Injected) -> Response:
    """How much history the client should send, and how far a forecast may reach."""
    detail = {"input_size": INPUT_SIZE, "horizon": services.settings.max_horizon}
    return json_response({"detail": detail})


def list_models(services: Services) -> Response:
    """The names that a request may have as `model`; `timegpt-1` stands for the store's default model."""
    names = ["timegpt-1", *(entry.name for entry in services.catalog.models())]
    return json_response({"models": [{"name": name} for name in names]})


async def forecast(request: Request, services: Services) -> dict[str, Any]:
    """POST /v2/forecast."""
    body = await services.bodies.read(request, ForecastBody)
    panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
    if body.feature_contributions:
        raise InvalidRequest.at(
            "/feature_contributions", "not_supported", "There are no features whose contributions could be told."
        )
    name = find_model(body)
    if body.finetune_steps:
        wanted = _fine_tuning_of(body, output=name_by_content(panel, body.finetune_steps, body.finetune_loss))
        name = await services.clients.serve(request, fine_tune(services, wanted, panel))
    manifest = await _resolve(services, name)
    asked = ForecastRequest(
        model=manifest.name,
        version=manifest.version,
        horizon=body.h,
        level=read_levels(body.level),
        freq=panel.freq if manifest.is_zero_shot else None,
    )
    answer = await forecast_all(request, services, post(panel.values, "/series"), asked)
    return await asyncio.to_thread(answers.forecast_answer, answer, panel.n_points)


async def cross_validation(request: Request, services: Services) -> dict[str, Any]:
    """POST /v2/cross_validation."""
    body = await services.bodies.read(request, CrossValidationBody)
    panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
    refuse_steps(body.finetune_steps)
    manifest = await _resolve(services, find_model(body))
    levels = read_levels(body.level)
    if body.full_history:
        wanted = AnomaliesRequest(manifest.name, manifest.version, levels)
        fitted = await services.clients.serve(request, services.anomalies.fit(wanted, BacktestData(panel, POINTER)))
        raise_flaws([series.flaw for series in fitted.series])
        return await asyncio.to_thread(answers.history_answer, panel, fitted, levels)
    backtest = BacktestRequest(
        manifest.name,
        manifest.version,
        horizon=body.h,
        windows=body.n_windows,
        step=body.step_size or body.h,
        level=levels,
        forecasts=True,
    )
    answer = await _backtest(request, services, panel, backtest)
    return await asyncio.to_thread(answers.cross_validation_answer, panel, answer)


async def anomaly_detection(request: Request, services: Services) -> dict[str, Any]:
    """POST /v2/anomaly_detection: over the whole history."""
    body = await services.bodies.read(request, AnomalyBody)
    panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
    manifest = await _resolve(services, find_model(body))
    wanted = AnomaliesRequest(manifest.name, manifest.version, (body.level,))
    fitted = await services.clients.serve(request, services.anomalies.fit(wanted, BacktestData(panel, POINTER)))
    raise_flaws([series.flaw for series in fitted.series])
    return await asyncio.to_thread(answers.anomaly_answer, panel, fitted, body.level)


async def online_anomaly_detection(request: Request, services: Services) -> dict[str, Any]:
    """POST /v2/online_anomaly_detection: the last points, each forecast from what was known before its window."""
    body = await services.bodies.read(request, OnlineAnomalyBody)
    panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
    refuse_steps(body.finetune_steps)
    if body.threshold_method != "univariate":
        raise InvalidRequest.at(
            "/threshold_method",
            "not_supported",
            "This service judges each series by itself. Set threshold_method to 'univariate'.",
        )
    manifest = await _resolve(services, find_model(body))
    step = min(body.step_size or body.h, body.h)
    windows = max(1, -(-(body.detection_size - body.h) // step) + 1)
    backtest = BacktestRequest(
        manifest.name,
        manifest.version,
        horizon=body.h,
        windows=windows,
        step=step,
        level=(body.level,),
        forecasts=True,
    )
    answer = await _backtest(request, services, panel, backtest)
    return await asyncio.to_thread(
        lambda: answers.online_anomaly_answer(panel, answer, level=body.level, detection_size=body.detection_size)
    )


async def finetune(request: Request, services: Services) -> dict[str, Any]:
    """POST /v2/finetune: answers when the model is trained."""
    body = await services.bodies.read(request, FineTuneBody)
    panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
    return {"finetuned_model_id": await services.clients.serve(request, fine_tune(services, body, panel))}


TASKS: dict[str, Task] = {
    "forecast": forecast,
    "cross_validation": cross_validation,
    "anomaly_detection": anomaly_detection,
    "online_anomaly_detection": online_anomaly_detection,
    "finetune": finetune,
}


@router.post("/v2/{task}")
async def run_task(task: str, request: Request, services: Injected) -> Response:
    """Any of the tasks, answered when it is done."""
    result = await _task(task)(request, services)
    return await asyncio.to_thread(json_response, result)


@router.post("/v2/{task}/async")
async def submit_task(task: str, request: Request, services: Injected) -> Response:
    """Any of the tasks as a job: fine-tuning goes on behind the answer, the others are done when it comes."""
    if task == "finetune":
        body = await services.bodies.read(request, FineTuneBody)
        panel = await asyncio.to_thread(read_panel, body, services.bodies.limits)
        return json_response({"job_id": (await submit_fine_tuning(services, body, panel)).id}, 202)
    result = await _task(task)(request, services)
    return json_response({"job_id": await asyncio.to_thread(services.task_results.keep, task, result)}, 202)


@router.get("/v2/{task}/jobs/{job_id}")
async def get_task(task: str, job_id: str, services: Injected) -> Response:
    """A job of a task: its status, and its result once there is one."""
    _task(task)
    if task == "finetune":
        return json_response(_describe_job(await services.jobs.get(job_id)))
    text = await asyncio.to_thread(services.task_results.find, task, job_id)
    if text is None:
        raise JobNotFound(f"There is no job {job_id[:60]!r} of {task}, or its result has expired.")
    return Response(
        b'{"job_id":"%b","status":"succeeded","result":%b}' % (job_id.encode(), text), media_type="application/json"
    )


@router.post("/v2/async/jobs/{job_id}/cancel")
async def cancel_task(job_id: str, services: Injected) -> Response:
    """Cancels a fine-tuning; the other tasks are done when they are known."""
    return json_response(_describe_job(await services.jobs.cancel(job_id)), 202)


@router.get("/v2/finetuned_models")
async def list_finetuned(services: Injected) -> Response:
    """All models that were fine-tuned, also by other ways."""
    return json_response({"finetuned_models": await list_fine_tuned(services)})


@router.get("/v2/finetuned_models/{name}")
async def get_finetuned(name: str, services: Injected) -> Response:
    """One of them."""
    return json_response(await describe_fine_tuned(services, name))


@router.delete("/v2/finetuned_models/{name}", status_code=204)
async def delete_finetuned(name: str, services: Injected) -> Response:
    """Removes a fine-tuned model with all its versions."""
    await delete_fine_tuned(services, name)
    return Response(status_code=204)


def _task(name: str) -> Task:
    if name not in TASKS:
        raise InvalidRequest.at(
            "", "not_supported", f"This service has no task {name[:60]!r}. It has: {', '.join(TASKS)}."
        )
    return TASKS[name]


async def _resolve(services: Services, name: str | None) -> Manifest:
    """The version that answers for a name; of a model that the gate passed no version of, the newest."""
    try:
        return await resolve(services, name, None)
    except NoChampion:
        known = name or services.catalog.default or ""
        return services.catalog.model(known).versions[-1]


async def _backtest(request: Request, services: Services, panel: Panel, asked: BacktestRequest) -> dict[str, Any]:
    plan = await services.backtesting.prepare(asked, BacktestData(panel, POINTER))
    answer = await services.clients.serve(request, services.backtesting.run(plan))
    errors = [series["error"] for series in answer["series"] if "error" in series]
    if errors:
        raise InvalidRequest([Flaw(**error) for error in errors[:MOST_FLAWS]])
    return answer


def _fine_tuning_of(body: ForecastBody, output: str) -> FineTuneBody:
    return FineTuneBody(
        series=body.series,
        model=body.model,
        freq=body.freq,
        finetuned_model_id=body.finetuned_model_id,
        finetune_steps=body.finetune_steps,
        finetune_loss=body.finetune_loss,
        output_model_id=output,
    )


def _describe_job(job: Job) -> dict[str, Any]:
    result = None if job.result is None else {"finetuned_model_id": job.result["model"]}
    return {"job_id": job.id, "status": STATUS.get(job.status, job.status), "result": result, "error": job.error}
