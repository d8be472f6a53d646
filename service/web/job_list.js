// The jobs there are, newest first, as they stand.

import { html, useEffect } from "./html.js";
import { get } from "./api.js";
import { formatSeconds, formatTime } from "./format.js";
import { Badge, Problem, useAsync } from "./parts.js";

const POLL_MS = 2000;
const SHOWN = 30;
export const KIND_OF_STATUS = { queued: "", running: "warn", succeeded: "good", failed: "bad", cancelled: "" };

export function JobList({ chosen, onChoose }) {
  const { value, error, reload } = useAsync((signal) => get(`/jobs?limit=${SHOWN}`, { signal }), []);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) reload(); }, POLL_MS);
    return () => clearInterval(timer);
  }, []);
  const jobs = value?.jobs || [];
  return html`<h2>Jobs</h2>
    <${Problem} error=${error} />
    ${value && jobs.length === 0 && html`<p class="hint">None yet.</p>`}
    <ul class="list jobs">${jobs.map((job) => html`<li key=${job.id}><button type="button" aria-current=${job.id === chosen ? "true" : undefined} onClick=${() => onChoose(job.id)}>
      <strong>${job.model}</strong><${Badge} kind=${KIND_OF_STATUS[job.status]}>${job.status}</${Badge}>
      <small>${job.kind === "train" ? job.request.architecture : job.kind} · ${formatTime(job.submitted_at)}</small>
      <small>${describe(job)}</small>
    </button></li>`)}</ul>`;
}

function describe(job) {
  if (job.status === "running" && job.progress) return `epoch ${job.progress.epoch} of ${job.progress.epochs}${job.progress.eta_seconds === null ? "" : `, ${formatSeconds(job.progress.eta_seconds)} left`}`;
  if (job.started_at && job.finished_at) return formatSeconds((new Date(job.finished_at) - new Date(job.started_at)) / 1000);
  return "";
}
