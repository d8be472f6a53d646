// A version's manifest as a person reads it: scores, error by step, calibration, lineage.

import { html, useMemo, useState } from "./html.js";
import { post } from "./api.js";
import { Chart } from "./chart.js";
import { lastRef, loadData, toPosted } from "./data.js";
import { describeFrequency, formatCount, formatNumber, formatSeconds, formatTime } from "./format.js";
import { makeLink } from "./link.js";
import { Problem } from "./parts.js";

const PARTS = ["train", "validation", "test"];
const LEVELS = [50, 60, 70, 80, 90, 95];

export function VersionDetail({ model, manifest }) {
  const { metrics } = manifest;
  const parts = PARTS.filter((part) => metrics[part]);
  return html`<div class="version">
    <h3>Version ${manifest.version}</h3>
    ${manifest.gate && !manifest.gate.passed && html`<p class="problem">The gate did not pass it. ${manifest.gate.reason}</p>`}
    <div class="columns">
      <div>
        <div class="scroll" tabindex="0" role="region" aria-label="Scores"><table><caption>Scores</caption>
          <thead><tr><th scope="col">Part</th>${["mse", "rmse", "mae", "smape", "mase"].map((name) => html`<th scope="col">${name.toUpperCase()}</th>`)}</tr></thead>
          <tbody>${parts.map((part) => html`<tr><th scope="row">${part}</th>${["mse", "rmse", "mae", "smape", "mase"].map((name) => html`<td>${formatNumber(metrics[part][name])}</td>`)}</tr>`)}
          ${Object.entries(metrics.baselines || {}).map(([name, scores]) => html`<tr class="baseline"><th scope="row">${name}</th>${["mse", "rmse", "mae", "smape", "mase"].map((metric) => html`<td>${formatNumber((scores.test || scores)[metric])}</td>`)}</tr>`)}</tbody></table></div>
        <${StepChart} metrics=${metrics} title=${`Error of ${model.name} by step ahead`} />
      </div>
      <${Lineage} model=${model} manifest=${manifest} />
    </div>
    <${Calibration} model=${model} manifest=${manifest} />
  </div>`;
}

function StepChart({ metrics, title }) {
  const chart = useMemo(() => {
    const found = PARTS.filter((part) => metrics[part]?.by_step?.mae);
    if (!found.length) return null;
    const steps = metrics[found[0]].by_step.mae.length;
    const colors = { train: "--series-3", validation: "--series-2", test: "--series-1" };
    return {
      x: Float64Array.from({ length: steps }, (_, i) => i + 1),
      lines: found.map((part) => ({ label: `MAE, ${part}`, values: metrics[part].by_step.mae, color: colors[part], points: true })),
    };
  }, [metrics]);
  if (!chart || chart.x.length < 2) return null;
  return html`<h3>Error by step ahead</h3><${Chart} title=${title} ...${chart} xLabel="step" height=${220} />`;
}

function Lineage({ model, manifest }) {
  const { data } = manifest;
  const facts = [
    ["Architecture", `${manifest.architecture}, ${manifest.head} head`],
    ["Reads, forecasts", `${formatCount(manifest.window, "point")}, ${formatCount(manifest.horizon, "step")}`],
    ["Scaling", manifest.scaling],
    ["Engine", model.engine ? `${model.engine}. ${model.engine_reason}` : model.engine_reason],
    ["Size", manifest.parameters === null || manifest.parameters === undefined ? "–" : formatCount(manifest.parameters, "weight")],
    ["Trained", `${formatTime(manifest.created_at)}${manifest.seconds ? `, in ${formatSeconds(manifest.seconds)} on ${manifest.device}` : ""}`],
    ["Data", data.kind ? `${data.kind}, ${formatCount(data.n_series ?? 0, "series", "series")}${data.freq ? `, ${describeFrequency(data.freq)}` : ""}${data.season ? `, season of ${data.season} points` : ""}` : "–"],
    ["Data digest", data.digest ? html`<code>${data.digest.slice(0, 16)}…</code>` : "–"],
    ["Seed", manifest.seed ?? "–"],
    ["Job", manifest.job_id ? html`<a href=${makeLink("train", { job: manifest.job_id })}><code>${manifest.job_id.slice(0, 12)}…</code></a>` : "none"],
  ];
  return html`<div><h3>Where it comes from</h3><dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    <details><summary>The manifest</summary><pre tabindex="0" role="region" aria-label="The manifest">${JSON.stringify({ ...manifest, calibration: manifest.calibration && { ...manifest.calibration, residuals: "…" } }, null, 1)}</pre></details></div>`;
}

/** Nominal against measured coverage, by a backtest on the series that are looked at. */
function Calibration({ model, manifest }) {
  const [state, setState] = useState({ busy: false, error: null, answer: null });
  const ref = manifest.data.kind === "dataset" ? `dataset:${manifest.data.id}` : lastRef();
  const measure = async () => {
    setState({ busy: true, error: null, answer: null });
    try {
      const source = await loadData(ref);
      const answer = await post("/backtest", { model: model.name, version: manifest.version, ...toPosted(source), windows: 10, level: LEVELS });
      setState({ busy: false, error: null, answer: { ...answer, title: source.title } });
    } catch (error) {
      setState({ busy: false, error, answer: null });
    }
  };
  const coverage = state.answer?.overall?.model.coverage;
  const chart = useMemo(() => coverage && {
    x: Float64Array.from(LEVELS),
    lines: [
      { label: "measured", values: LEVELS.map((level) => coverage[String(level)]), color: "--series-1", points: true },
      { label: "as it says", values: LEVELS, color: "--muted", dash: [4, 3] },
    ],
  }, [coverage]);
  return html`<h3>Calibration</h3>
    <p class="hint">How many points lay inside the intervals, in a backtest at ten origins${manifest.data.kind === "dataset" ? " of the data that it was trained on, its last points included" : ` of ${ref.replace(/^\w+:/, "")}`}.</p>
    <button type="button" onClick=${measure} disabled=${state.busy}>${state.busy ? "Measuring…" : "Measure the coverage"}</button>
    <${Problem} error=${state.error} />
    ${state.answer && !coverage && html`<p role="status">These are so many points that a job measures them: <a href=${makeLink("train", { job: state.answer.id })}>see the job</a>.</p>`}
    ${chart && html`<${Chart} title=${`Coverage of ${model.name} on ${state.answer.title}`} ...${chart} xLabel="nominal level in percent" height=${240} />`}`;
}
