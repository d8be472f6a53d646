// One job: its losses as they come, what is left, and what became of it in words.

import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { get, post, watchJob } from "./api.js";
import { Chart } from "./chart.js";
import { formatNumber, formatSeconds, formatTime } from "./format.js";
import { KIND_OF_STATUS } from "./job_list.js";
import { makeLink } from "./link.js";
import { Badge, Problem, useAsync } from "./parts.js";

// Architectures and options that fit several networks.
const isOfSeveral = ({ request }) => request.architecture === "auto" || request.architecture === "flagship" || Boolean(request.ensemble || request.tune);

/** Args: `data` is the reference of what is looked at, for links to the forecast. */
export function JobDetail({ id, data, onEnded }) {
  const [job, setJob] = useState(null);
  const [events, setEvents] = useState([]);
  const [error, setError] = useState(null);
  const place = useRef(null);
  // The job may lie below what is seen.
  useEffect(() => place.current.scrollIntoView({ block: "nearest" }), [Boolean(job)]);

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
  return html`<section class="panel" aria-label="Job" ref=${place}>
    <${Problem} error=${error} />
    ${job && html`
      <div class="row between">
        <h2>${job.model} <${Badge} kind=${KIND_OF_STATUS[status]}>${status}</${Badge}></h2>
        ${isActive && html`<button type="button" class="danger" onClick=${cancel}>Cancel this job</button>`}
      </div>
      ${isActive && html`<p role="status">${describeProgress(job, status, last)}</p>
        <progress max=${last?.epochs || 1} value=${last?.epoch || 0} aria-label="Epochs"></progress>`}
      <${LossChart} events=${events} name=${job.model} />
      ${isOfSeveral(job) && events.length > 1 && html`<p class="hint">Several networks are fitted one after the other: the curve jumps where the next one begins.</p>`}
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

function describeProgress(job, status, last) {
  if (status === "queued") return "Waiting for a worker.";
  if (!last) return "Preparing the data.";
  if (last.epoch >= last.epochs) return "Fitted. Now it is measured, exported, proved and published, which takes a while.";
  const epochs = `Epoch ${last.epoch} of ${isOfSeveral(job) ? "about " : ""}${last.epochs}`;
  if (last.eta_seconds === null || last.eta_seconds === undefined) return `${epochs}.`;
  // An estimate of all that could be fitted may lie beyond the time that there is.
  const elapsed = job.started_at || last.started_at ? (Date.now() - new Date(job.started_at || last.started_at)) / 1000 : 0;
  const left = job.request.max_seconds ? Math.max(0, Math.min(last.eta_seconds, job.request.max_seconds - elapsed)) : last.eta_seconds;
  return `${epochs}, about ${formatSeconds(left)} of fitting left.`;
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
  return html`<${Published} result=${job.result} data=${data} />`;
}

function Published({ result, data }) {
  const { model, version, metrics, gate } = result;
  const now = useAsync(async (signal) => {
    // Asked for by its number, it is looked for in the store again: lists know what was published a moment ago only later.
    await get(`/models/${model}/versions/${version}`, { signal });
    return get(`/models/${model}`, { signal });
  }, [model, version]);
  const current = now.value?.current_version;
  const name = current === version ? model : `${model}@${version}`;
  const scores = metrics.test || metrics.validation || {};
  const naive = (metrics.baselines?.seasonal_naive?.test || metrics.baselines?.seasonal_naive)?.mase;
  return html`<div class="problem good" role="status">
    <p><strong>${model} version ${version} is published.</strong> ${scores.mase === undefined || scores.mase === null
    ? `Its mean squared error on waves that it had not seen is ${formatNumber(scores.mse)}.`
    : `On the last points of each series, which it had not seen, its MASE was ${formatNumber(scores.mase, 3)}${naive === undefined || naive === null ? "" : `; repeating the season before has ${formatNumber(naive, 3)}`}.`}</p>
    ${gate && (gate.passed ? html`<p>It passed the gate on the validation part before, and is the champion: requests for ${model} get it.</p>` : html`<p>The gate did not pass it. ${gate.reason}</p>`)}
    ${now.value && current !== version && html`<p>Requests for ${model} ${current === null ? "get no version yet" : `still get version ${current}`}: promote version ${version} <a href=${makeLink("models", {}, [model, String(version)])}>in Models</a> to change that.</p>`}
    <p><a href=${makeLink("forecast", { data, models: name })}>Forecast with it</a> · <a href=${makeLink("compare", { data, models: [...new Set(["zero-shot", name])].join(",") })}>Compare it</a> · <a href=${makeLink("models", {}, [model, String(version)])}>Look at it</a></p>
  </div>`;
}
