// One job: its losses as they come, what is left, and what became of it in words.

import { html, useEffect, useMemo, useState } from "./html.js";
import { get, post, watchJob } from "./api.js";
import { Chart } from "./chart.js";
import { formatNumber, formatSeconds, formatTime } from "./format.js";
import { KIND_OF_STATUS } from "./job_list.js";
import { makeLink } from "./link.js";
import { Badge, Problem } from "./parts.js";

/** Args: `data` is the reference of what is looked at, for links to the forecast. */
export function JobDetail({ id, data, onEnded }) {
  const [job, setJob] = useState(null);
  const [events, setEvents] = useState([]);
  const [error, setError] = useState(null);

  useEffect(() => {
    const stop = new AbortController();
    let coming = [];
    let timer = null;
    const show = () => { timer = null; setEvents((before) => [...before, ...coming]); coming = []; };
    const follow = async () => {
      setJob(await get(`/jobs/${id}`, { signal: stop.signal }));
      await watchJob(id, {
        signal: stop.signal,
        onProgress: (event) => {
          coming.push(event);
          // Many at once, of a job that is long under way, are drawn once.
          timer ??= setTimeout(show, 100);
        },
        onDone: (ended) => { setJob(ended); onEnded(); },
      });
    };
    follow().catch((problem) => { if (!stop.signal.aborted) setError(problem); });
    return () => { stop.abort(); clearTimeout(timer); };
  }, [id]);

  const cancel = async () => {
    try {
      setJob(await post(`/jobs/${id}/cancel`, {}));
    } catch (problem) {
      setError(problem);
    }
  };
  const last = events[events.length - 1] || job?.progress;
  const isActive = job && (job.status === "queued" || job.status === "running");
  const status = isActive && last && events.length ? "running" : job?.status;
  return html`<section class="panel" aria-label="Job">
    <${Problem} error=${error} />
    ${job && html`
      <div class="row between">
        <h2>${job.model} <${Badge} kind=${KIND_OF_STATUS[status]}>${status}</${Badge}></h2>
        ${isActive && html`<button type="button" class="danger" onClick=${cancel}>Cancel this job</button>`}
      </div>
      ${isActive && html`<p role="status">${status === "queued" ? "Waiting for a worker." : last ? `Epoch ${last.epoch} of ${last.epochs}${last.eta_seconds === null || last.eta_seconds === undefined ? "" : `, about ${formatSeconds(last.eta_seconds)} left`}.` : "Preparing the data."}</p>
        <progress max=${last?.epochs || 1} value=${last?.epoch || 0} aria-label="Epochs"></progress>`}
      <${LossChart} events=${events} name=${job.model} />
      <${Ending} job=${job} data=${data} />
      <dl class="facts">
        <dt>Submitted</dt><dd>${formatTime(job.submitted_at)}</dd>
        ${job.finished_at && job.started_at && html`<dt>Took</dt><dd>${formatSeconds((new Date(job.finished_at) - new Date(job.started_at)) / 1000)}</dd>`}
        ${job.attempt > 1 && html`<dt>Attempts</dt><dd>${job.attempt}</dd>`}
        <dt>Job</dt><dd><code>${job.id}</code></dd>
      </dl>
      <details><summary>The request</summary><pre tabindex="0" role="region" aria-label="The request">${JSON.stringify(job.request, null, 1)}</pre></details>`}
  </section>`;
}

function LossChart({ events, name }) {
  const chart = useMemo(() => {
    // A later attempt, or another member of an ensemble, begins anew: losses are drawn in the order in which they came.
    const known = events.filter((event) => event.loss !== null || event.val_loss !== null);
    const x = Float64Array.from(known, (_, i) => i + 1);
    return { x, lines: [
      { label: "training loss", values: known.map((event) => event.loss), color: "--series-1", points: known.length < 40 },
      { label: "validation loss", values: known.map((event) => event.val_loss), color: "--series-2", points: known.length < 40 },
    ] };
  }, [events]);
  if (!chart.x.length) return null;
  return html`<${Chart} title=${`Losses of ${name}`} ...${chart} xLabel="epoch" height=${240} />`;
}

/** What became of a job, as one would tell it. */
function Ending({ job, data }) {
  if (job.status === "failed") return html`<div class="problem" role="alert"><p><strong>It failed.</strong> ${job.error?.message}</p></div>`;
  if (job.status === "cancelled") return html`<p>It was cancelled. Nothing was published.</p>`;
  if (job.status !== "succeeded" || job.kind !== "train") return null;
  const { model, version, metrics, gate } = job.result;
  const scores = metrics.test || metrics.validation || {};
  const measure = scores.mase ?? null;
  return html`<div class="problem good" role="status">
    <p><strong>${model} version ${version} is published.</strong> ${measure === null ? `Test MSE ${formatNumber(scores.mse)}.` : `MASE ${formatNumber(measure, 3)} on points that it had not seen: ${measure < 1 ? "better" : "no better"} than repeating the season before was inside the series.`}</p>
    ${gate && (gate.passed
      ? html`<p>It passed the gate${gate.scores?.seasonal_naive ? `: ${formatNumber(gate.scores.candidate, 3)} against seasonal naive's ${formatNumber(gate.scores.seasonal_naive, 3)} on the validation windows` : ""}, and is the champion: requests for ${model} get it.</p>`
      : html`<p>The gate did not pass it, so it answers by its number only. ${gate.reason}</p>`)}
    <p><a href=${makeLink("forecast", { data, models: gate && !gate.passed ? `${model}@${version}` : model })}>Forecast with it</a> · <a href=${makeLink("compare", { data, models: `zero-shot,${gate && !gate.passed ? `${model}@${version}` : model}` })}>Compare it</a> · <a href=${makeLink("models", {}, [model])}>Look at it</a></p>
  </div>`;
}
