// Training: a form that the API's own schema makes, jobs as they run, and what became of those before.

import { html, useEffect, useMemo, useState } from "./html.js";
import { ApiError, get, post } from "./api.js";
import { lastRef, loadData, toTrainingData } from "./data.js";
import { DataPanel } from "./data_panel.js";
import { JobDetail } from "./job_detail.js";
import { JobList } from "./job_list.js";
import { makeLink, replaceLink } from "./link.js";
import { Problem, useAsync } from "./parts.js";
import { readSchema } from "./schema.js";
import { OptionFields, readOptions } from "./option_fields.js";

const WAVES = "waves";
// What most people set; all others are below.
const FIRST_OPTIONS = ["horizon", "season", "epochs", "max_seconds"];
const SUGGESTED_SECONDS = "60";
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export function TrainView({ query, reloadModels }) {
  const schema = useAsync(async (signal) => readSchema(await get("/openapi.json", { signal })), []);
  const data = query.data || lastRef();
  const change = (changes) => replaceLink(makeLink("train", { ...query, ...changes }));
  const loaded = useAsync((signal) => (data === WAVES ? Promise.resolve(null) : loadData(data, signal)), [data]);
  const source = loaded.value?.ref === data ? loaded.value : null;
  const [submitted, setSubmitted] = useState(0);
  return html`<div class="view">
    <h1 class="visually-hidden">Train</h1>
    ${data === WAVES
      ? html`<section class="panel" aria-label="Series"><div class="data-head"><div><h2>The textbook's waves</h2>
          <p class="hint">Synthetic series: two sine waves and noise each, as in A. Géron's chapter on sequences.</p></div>
          <button type="button" onClick=${() => change({ data: undefined })}>Train on series instead</button></div></section>`
      : html`<${DataPanel} value=${data} source=${source} onChange=${(ref) => change({ data: ref })}>
          <p class="hint">Models for series like these learn from all of them. <button type="button" class="quiet" onClick=${() => change({ data: WAVES })}>Train on the textbook's waves instead</button></p>
        </${DataPanel}>`}
    <${Problem} error=${loaded.error || schema.error} />
    <div class="columns">
      ${schema.value && html`<${TrainForm} schema=${schema.value} source=${source} onWaves=${data === WAVES}
        onSubmitted=${(job) => { setSubmitted((count) => count + 1); change({ job: job.id }); }} />`}
      <section class="panel" aria-label="Jobs">
        <${JobList} key=${submitted} chosen=${query.job} onChoose=${(id) => change({ job: id })} />
      </section>
    </div>
    ${query.job && html`<${JobDetail} key=${query.job} id=${query.job} data=${data === WAVES ? "" : data} onEnded=${reloadModels} />`}
  </div>`;
}

function TrainForm({ schema, source, onWaves, onSubmitted }) {
  const [architecture, setArchitecture] = useState("auto");
  const [name, setName] = useState("");
  const [options, setOptions] = useState({ max_seconds: SUGGESTED_SECONDS });
  const [state, setState] = useState({ busy: false, error: null });
  const preset = schema.architectures.find((word) => word.name === architecture);
  const allowed = useMemo(() => new Set(onWaves ? preset.optionsOnWaves : preset.options), [preset, onWaves]);
  const shown = schema.options.filter((option) => allowed.has(option.name));
  const [first, others] = [shown.filter((option) => FIRST_OPTIONS.includes(option.name)), shown.filter((option) => !FIRST_OPTIONS.includes(option.name))];
  const suggested = source ? (source.name || source.title).replace(/\.\w+$/, "").replace(/[^\w.-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").toLowerCase() || "my-series" : "";
  useEffect(() => setOptions(architecture === "auto" ? { max_seconds: SUGGESTED_SECONDS } : {}), [architecture]);

  const flaw = !name.trim() || NAME.test(name.trim()) ? "" : "Letters, digits, points, hyphens and underscores, without spaces; a letter or digit first.";

  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      const body = {
        architecture,
        ...(name.trim() ? { name: name.trim() } : onWaves ? {} : { name: suggested }),
        ...readOptions(shown, options),
        ...(onWaves ? waveData(options) : { data: toTrainingData(source) }),
      };
      const answer = await post("/train", body, { headers: { "Idempotency-Key": crypto.randomUUID?.() || String(Math.random()) } });
      setState({ busy: false, error: null });
      onSubmitted(answer.jobs ? answer.jobs[0] : answer);
    } catch (error) {
      setState({ busy: false, error: error instanceof ApiError ? error : new ApiError({ detail: error.message }, 0) });
    }
  };
  const errorOf = (pointer) => state.error?.entries?.find((entry) => entry.pointer === pointer)?.message;
  return html`<form class="panel" aria-label="Training" onSubmit=${submit}>
    <h2>Train a model</h2>
    <label class="field"><span>Architecture</span><select value=${architecture} onChange=${(event) => setArchitecture(event.currentTarget.value)}>
      ${schema.architectures.filter((word) => onWaves || word.name !== "chapter").map((word) => html`<option value=${word.name}>${word.name}</option>`)}</select>
      <small>${preset.description}</small></label>
    <label class="field"><span>Name of the model</span><input value=${name} placeholder=${onWaves ? architecture : suggested} onInput=${(event) => setName(event.currentTarget.value)}
      aria-invalid=${errorOf("/name") || flaw ? "true" : undefined} />
      ${(flaw || errorOf("/name")) && html`<small class="flaw" role="alert">${flaw || errorOf("/name")}</small>`}</label>
    <${OptionFields} options=${first} values=${options} preset=${preset} onChange=${setOptions} errorOf=${errorOf} />
    <details><summary>All options (${others.length + (onWaves ? schema.waves.length : 0)})</summary>
      <${OptionFields} options=${others} values=${options} preset=${preset} onChange=${setOptions} errorOf=${errorOf} />
      ${onWaves && html`<${OptionFields} options=${schema.waves} values=${options} preset=${preset} onChange=${setOptions} errorOf=${errorOf} prefix="data." />`}
    </details>
    <${Problem} error=${state.error} />
    <button type="submit" class="primary" disabled=${state.busy || (!onWaves && !source) || Boolean(flaw)}>${state.busy ? "Submitting…" : "Start training"}</button>
  </form>`;

  function waveData(values) {
    const given = readOptions(schema.waves, values, "data.");
    return Object.keys(given).length ? { data: { kind: "synthetic", ...given } } : {};
  }
}
