// A series and where it goes: models overlaid, intervals, a test against what really came, and the code of it.

import { html, useEffect, useMemo, useState } from "./html.js";
import { Chart } from "./chart.js";
import { CodeBlock } from "./code.js";
import { lastRef, loadData, loadSeries } from "./data.js";
import { DataPanel } from "./data_panel.js";
import { forecastSeries } from "./forecast_request.js";
import { buildChart } from "./forecast_chart.js";
import { formatNumber, formatPercent } from "./format.js";
import { ModelChoice } from "./model_choice.js";
import { makeLink, replaceLink } from "./link.js";
import { CopyButton, Problem, TextField, checkCount, checkLevels, useAsync } from "./parts.js";
import { score } from "./scores.js";

const MODES = [["auto", "as suits the model"], ["one_step", "one step"], ["autoregressive", "autoregressive"], ["vector", "vector"], ["sequence", "sequence"]];
const DEFAULT_HOLDOUT = 10;
const MOST_LISTED = 300;
const MOST_STEPS = 1000;
const NO_RESULTS = [];

export function ForecastView({ query, models, modelsError }) {
  const asked = readQuery(query, models);
  const change = (changes) => replaceLink(makeLink("forecast", { ...query, ...changes }));
  const data = useAsync((signal) => loadData(asked.data, signal), [asked.data]);
  const source = data.value?.ref === asked.data ? data.value : null;
  const chosen = useAsync((signal) => (source ? loadSeries(source, asked.series, signal) : Promise.resolve(null)), [source, asked.series]);
  const series = source ? chosen.value : null;
  const holdout = series ? readHoldout(asked.holdout, series, source) : 0;

  const names = asked.models.join(",");
  const forecasts = useAsync(
    async (signal) => ({
      series, holdout,
      results: series ? await Promise.all(asked.models.map((name) => forecastSeries({ ...asked, model: name, series, source, holdout, models }, signal))) : [],
    }),
    [series, names, asked.mode, asked.horizon, asked.level, asked.freq, holdout],
  );
  // Forecasts of the series before are none of this one.
  const isCurrent = forecasts.value?.series === series && forecasts.value?.holdout === holdout;
  const results = isCurrent ? forecasts.value.results : NO_RESULTS;
  const chart = useMemo(
    () => (series ? buildChart({ series, results, holdout }) : null),
    [series, results, holdout],
  );
  const title = series ? `${source.title}${source.nSeries > 1 ? `, ${series.id}` : ""}` : "";
  return html`<div class="view">
    <h1 class="visually-hidden">Forecast</h1>
    <p class="lead">See where a series goes. Take an example or your own series; the default model forecasts any series at once, without training.</p>
    <${DataPanel} value=${asked.data} source=${source} onChange=${(ref) => change({ data: ref, series: undefined, holdout: asked.holdout ? "season" : undefined })}>
      ${source && source.nSeries > 1 && html`<${SeriesChoice} source=${source} series=${series} onChange=${(id) => change({ series: id })} />`}
    </${DataPanel}>
    <${Problem} error=${data.error || chosen.error || modelsError} />
    <div class="split">
      <section class="panel settings" aria-label="Settings">
        <${ModelChoice} models=${models} chosen=${asked.models} onChange=${(after) => change({ models: after.join(",") })} />
        <div class="row">
          <${TextField} label="Horizon" inputmode="numeric" value=${asked.horizon} placeholder="the model's" check=${checkCount(1, MOST_STEPS)} onChange=${(horizon) => change({ horizon })} disabled=${Boolean(holdout)} />
          <${TextField} label="Intervals, in percent" value=${asked.level} placeholder="none" check=${checkLevels} onChange=${(level) => change({ level: level || "none" })} />
        </div>
        <label class="field"><span>Mode: one step, steps fed back, or all at once</span><select value=${asked.mode} onChange=${(event) => change({ mode: event.currentTarget.value === "auto" ? undefined : event.currentTarget.value })}>
          ${MODES.map(([word, label]) => html`<option value=${word}>${label}</option>`)}</select></label>
        <label class="check"><input type="checkbox" checked=${Boolean(asked.holdout)} onChange=${(event) => change({ holdout: event.currentTarget.checked ? "season" : undefined })} />
          <span>Test yourself: hide the last points and compare</span></label>
        ${holdout > 0 && html`<${TextField} label="Hidden points" inputmode="numeric" value=${String(holdout)} check=${checkCount(1, Math.floor(series.values.length / 2))} onChange=${(count) => change({ holdout: count || "season" })} />`}
      </section>
      <section class="panel result" aria-label="Forecast" aria-busy=${String(forecasts.busy || data.busy)}>
        ${chart && html`<${Chart} title=${`Forecast of ${title}`} ...${chart} height=${360} />`}
        ${!series && !data.error && html`<p class="hint" role="status">Loading the series…</p>`}
        ${series && results.map((result) => html`<${Outcome} key=${result.model} result=${result} models=${models} series=${series} holdout=${holdout} />`)}
        ${holdout > 0 && series && html`<${HoldoutTable} series=${series} source=${source} results=${results} holdout=${holdout} />`}
      </section>
    </div>
    ${series && html`<section class="panel" aria-label="Code">
      <div class="row between"><h2>The same from your program</h2><${CopyButton} text=${location.href} label="Copy a link to this view" /></div>
      <${CodeBlock} results=${results} />
    </section>`}
  </div>`;
}

function readQuery(query, models) {
  const fallback = models.find((model) => model.is_default)?.name || models[0]?.name;
  const known = new Set(models.map((model) => model.name));
  const wanted = (query.models || "").split(",").filter(Boolean);
  return {
    data: query.data || lastRef(),
    series: query.series || "",
    models: wanted.length ? wanted.filter((name) => known.has(name.split("@")[0])) : fallback ? [fallback] : [],
    mode: query.mode || "auto",
    horizon: query.horizon || "",
    level: query.level === "none" ? "" : query.level || "80, 95",
    holdout: query.holdout || "",
    freq: query.freq || "",
  };
}

/** How many points are hidden: as many as somebody says, else a season, or ten; always less than half of the series. */
function readHoldout(text, series, source) {
  if (!text) return 0;
  const usual = source.season || { MS: 12, ME: 12, QS: 4, QE: 4, D: 7, h: 24, "30min": 48, B: 5, W: 13 }[source.freq] || DEFAULT_HOLDOUT;
  const count = /^\d+$/.test(text) ? Number(text) : usual;
  return Math.max(1, Math.min(count, Math.floor(series.values.length / 2)));
}

function SeriesChoice({ source, series, onChange }) {
  const at = source.series.findIndex((other) => other.id === series?.id);
  const step = (by) => { const next = source.series[at + by]; if (next) onChange(next.id); };
  return html`<div class="row series-choice">
    <label class="field inline"><span>Series</span>
      <input list="series-ids" value=${series?.id || ""} onChange=${(event) => onChange(event.currentTarget.value)} /></label>
    <datalist id="series-ids">${source.series.slice(0, MOST_LISTED).map((other) => html`<option value=${other.id}></option>`)}</datalist>
    <button type="button" class="quiet" disabled=${at <= 0} onClick=${() => step(-1)} aria-label="The series before">←</button>
    <button type="button" class="quiet" disabled=${at < 0 || at + 1 >= source.series.length} onClick=${() => step(1)} aria-label="The next series">→</button>
    <span class="hint">${at + 1} of ${source.nSeries.toLocaleString("en")}</span>
  </div>`;
}

/** Whether a model that was trained was given fewer points than it learned to read. */
function isShort(models, result, count) {
  const model = models.find((other) => other.name === result.answer.model);
  return Boolean(model) && model.architecture !== "zero_shot" && model.window > count;
}

function Outcome({ result, models, series, holdout }) {
  if (result.error) return html`<div><strong>${result.model}</strong><${Problem} error=${result.error} /></div>`;
  const { season, experts } = result.forecast;
  return html`<p class="outcome"><strong>${result.model}</strong> version ${result.answer.version}, ${result.answer.horizon} ${result.answer.horizon === 1 ? "step" : "steps"}${result.answer.rolled_out ? ", beyond its own horizon" : ""}${season > 1 ? `, season of ${season} points` : ""}, ${formatNumber(result.answer.timing_ms.queue + result.answer.timing_ms.compute, 2)} ms in the service.
    ${result.note && html` <span class="hint">${result.note}</span>`}
    ${isShort(models, result, series.values.length - holdout) && html` <strong class="warning">It reads ${models.find((model) => model.name === result.answer.model).window} points; the series has only ${series.values.length - holdout}, so don't rely on it.</strong>`}
    ${experts && html`<span class="hint"> Made of ${experts.filter((expert) => expert.weight >= 0.05).sort((a, b) => b.weight - a.weight).slice(0, 4).map((expert) => `${expert.name} ${Math.round(expert.weight * 100)} %`).join(", ")} and others.</span>`}
  </p>`;
}

/** Errors on the hidden points, beside those of the naive forecasts. */
function HoldoutTable({ series, source, results, holdout }) {
  const rows = score({ series, results, holdout, season: results.map((result) => result.forecast?.season).find((season) => season > 1) || source.season || 1 });
  const levels = Object.keys(rows.find((row) => row.coverage)?.coverage || {});
  const best = Math.min(...rows.filter((row) => row.mae !== null).map((row) => row.mae));
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Errors on the hidden points"><table>
    <caption>Errors on the ${holdout} hidden points; the smaller, the better</caption>
    <thead><tr><th scope="col">Forecast</th><th scope="col">MAE</th><th scope="col">RMSE</th><th scope="col">MASE</th>${levels.length > 0 && html`<th scope="col">Inside ${levels.join(" / ")} %</th>`}</tr></thead>
    <tbody>${rows.map((row) => html`<tr class=${row.mae === best ? "best" : ""}><th scope="row">${row.name}</th><td>${formatNumber(row.mae)}</td><td>${formatNumber(row.rmse)}</td><td>${formatNumber(row.mase, 3)}</td>
      ${levels.length > 0 && html`<td>${row.coverage ? levels.map((level) => formatPercent(row.coverage[level])).join(" / ") : "–"}</td>`}</tr>`)}</tbody>
  </table></div>`;
}
