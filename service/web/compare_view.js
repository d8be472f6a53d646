// Which model is best: a backtest of chosen models on chosen series, and the scores that the store remembers.

import { html, useMemo, useState } from "./html.js";
import { get, post, put } from "./api.js";
import { Chart } from "./chart.js";
import { loadData, toPosted } from "./data.js";
import { DataPanel } from "./data_panel.js";
import { buildChart } from "./forecast_chart.js";
import { forecastSeries } from "./forecast_request.js";
import { FIRST_EXAMPLE } from "./forecast_view.js";
import { formatNumber, formatPercent } from "./format.js";
import { makeLink, replaceLink } from "./link.js";
import { Badge, Problem, TextField, hasIntervals, nameOf, useAsync } from "./parts.js";

const LEVELS = [80, 95];
const MULTIPLES = 6;
const JOB_POLL_MS = 1000;
const BASELINES = { seasonal_naive: "seasonal naive", naive: "naive", linear: "linear regression" };

export function CompareView({ query, models, modelsError, reloadModels }) {
  const data = query.data || FIRST_EXAMPLE;
  const change = (changes) => replaceLink(makeLink("compare", { ...query, ...changes }));
  const loaded = useAsync((signal) => loadData(data, signal), [data]);
  const source = loaded.value?.ref === data ? loaded.value : null;
  const names = (query.models || "").split(",").filter(Boolean);
  const chosen = names.length ? names : models.filter((model) => model.is_default).map((model) => model.name);
  const [state, setState] = useState({ busy: "", error: null, rows: null });
  const [windows, setWindows] = useState("5");
  const [horizon, setHorizon] = useState("");

  const run = async () => {
    const rows = [];
    setState({ busy: "Measuring…", error: null, rows: null });
    // One after the other: each asks for the whole machine.
    for (const name of chosen) {
      setState((before) => ({ ...before, busy: `Measuring ${name}…` }));
      rows.push(await backtest(name, { source, horizon: horizon || (rows.find((row) => row.answer)?.answer.horizon ?? ""), windows, models }));
    }
    setState({ busy: "", error: null, rows });
  };
  return html`<div class="view">
    <h1 class="visually-hidden">Compare</h1>
    <${DataPanel} value=${data} source=${source} onChange=${(ref) => { setState({ busy: "", error: null, rows: null }); change({ data: ref }); }} />
    <${Problem} error=${loaded.error || modelsError} />
    <div class="split">
      <section class="panel settings" aria-label="Settings">
        <fieldset class="models"><legend>Models</legend>${choices(models, chosen).map((name) => html`<label class="check" key=${name}>
          <input type="checkbox" checked=${chosen.includes(name)} onChange=${(event) => change({ models: (event.currentTarget.checked ? [...chosen, name] : chosen.filter((other) => other !== name)).join(",") })} /><span>${name}</span></label>`)}</fieldset>
        <div class="row">
          <${TextField} label="Horizon" inputmode="numeric" value=${horizon} placeholder="the first model's" onChange=${setHorizon} />
          <${TextField} label="Origins" inputmode="numeric" value=${windows} onChange=${setWindows} hint="forecasts of each series" />
        </div>
        <button type="button" class="primary" disabled=${!source || !chosen.length || Boolean(state.busy)} onClick=${run}>${state.busy || "Compare"}</button>
      </section>
      <section class="panel result" aria-label="Comparison" aria-live="polite" aria-busy=${String(Boolean(state.busy))}>
        ${!state.rows && html`<p class="hint">A backtest forecasts the last points of every series from what was known before, several times, and counts the errors. The naive forecasts are measured on the same points.</p>`}
        ${state.rows && html`<${Ranking} rows=${state.rows} models=${models} reload=${reloadModels} />`}
      </section>
    </div>
    ${state.rows && source && html`<${Multiples} source=${source} rows=${state.rows} data=${data} />`}
    <${Leaderboard} />
  </div>`;
}

/** All models, and versions that somebody named. */
const choices = (models, chosen) => [...new Set([...models.map(nameOf), ...chosen])];

/** {name, answer} or {name, error}. */
async function backtest(name, { source, horizon, windows, models }) {
  const [model, version] = name.split("@");
  const body = {
    model, ...(version ? { version: Number(version) || version } : {}), ...toPosted(source), windows: Number(windows) || windows,
    ...(horizon ? { horizon: Number(horizon) || horizon } : {}), ...(source.season ? { season: source.season } : {}),
  };
  try {
    return { name, answer: await measure(hasIntervals(models, name, Number(horizon) || 0) ? { ...body, level: LEVELS } : body) };
  } catch (error) {
    if (error.code !== "level_not_calibrated") return { name, error };
  }
  try {
    return { name, answer: await measure(body) };
  } catch (error) {
    return { name, error };
  }
}

/** The answer, also where a job computes it. */
async function measure(body) {
  const answer = await post("/backtest", body);
  if (answer.overall) return answer;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, JOB_POLL_MS));
    const job = await get(`/jobs/${answer.id}`);
    if (job.status === "succeeded") return job.result;
    if (job.status === "failed" || job.status === "cancelled") throw Object.assign(new Error(job.error?.message || "The backtest was cancelled."), { code: job.error?.code });
  }
}

function Ranking({ rows, models, reload }) {
  const [error, setError] = useState(null);
  const good = rows.filter((row) => row.answer);
  const first = good[0]?.answer;
  const ranked = [
    ...good.map((row) => ({ name: row.name, kind: "model", ...row.answer.overall.model })),
    ...(first ? Object.entries(BASELINES).filter(([key]) => first.overall[key]).map(([key, label]) => ({ name: label, kind: "baseline", ...first.overall[key] })) : []),
  ].sort((a, b) => (a.mase ?? a.mae) - (b.mase ?? b.mae));
  const isDefault = (name) => models.find((model) => model.name === name)?.is_default;
  const promote = async (name) => {
    const [model, version] = name.split("@");
    try {
      if (version) await put(`/models/${model}/aliases/champion`, { version: Number(version) });
      await put("/models/default", { name: model });
      setError(null);
    } catch (problem) {
      setError(problem);
    }
    reload();
  };
  return html`<${Problem} error=${error} />
    ${good.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Ranking"><table>
      <caption>${first.windows} forecasts of ${first.horizon} steps for each series, ranked by MASE; the smaller, the better</caption>
      <thead><tr><th scope="col">Forecast</th><th scope="col">MASE</th><th scope="col">MAE</th><th scope="col">RMSE</th><th scope="col">sMAPE</th><th scope="col">Inside ${LEVELS.join(" / ")} %</th><th scope="col" class="text">Use</th></tr></thead>
      <tbody>${ranked.map((row, i) => html`<tr class=${i === 0 ? "best" : row.kind}><th scope="row">${row.name}</th><td>${formatNumber(row.mase, 3)}</td><td>${formatNumber(row.mae)}</td><td>${formatNumber(row.rmse)}</td><td>${formatPercent(row.smape)}</td>
        <td>${row.coverage ? LEVELS.map((level) => formatPercent(row.coverage[String(level)])).join(" / ") : "–"}</td>
        <td class="text">${row.kind === "model" && (isDefault(row.name) ? html`<${Badge} kind="good">default</${Badge}>` : html`<button type="button" class="quiet" onClick=${() => promote(row.name)}>Promote<span class="visually-hidden"> ${row.name}</span></button>`)}</td></tr>`)}</tbody>
    </table></div>
    <p class="hint">Promoting makes a model the default, which answers requests that name none${rows.some((row) => row.name.includes("@")) ? ", and its version the champion" : ""}.</p>`}
    ${rows.filter((row) => row.error).map((row) => html`<div><strong>${row.name}</strong><${Problem} error=${row.error} /></div>`)}
    ${good.some((row) => row.answer.series.some((series) => series.error)) && html`<p class="hint">Some series could not be measured: ${good[0].answer.series.filter((series) => series.error).slice(0, 3).map((series) => `${series.id}: ${series.error.message}`).join(" ")}</p>`}`;
}

/** The last forecast of the first series, a small chart each. */
function Multiples({ source, rows, data }) {
  const good = rows.filter((row) => row.answer);
  const horizon = good[0]?.answer.horizon;
  const shown = source.series.slice(0, MULTIPLES);
  const forecasts = useAsync(
    (signal) => Promise.all(shown.map((series) => {
      const holdout = Math.min(horizon || 1, Math.floor(series.values.length / 2));
      return Promise.all(good.map((row) => forecastSeries({ model: row.name, mode: "auto", horizon: "", level: "", freq: "", series, source, holdout }, signal)))
        .then((results) => ({ series, results, holdout }));
    })),
    [source, rows],
  );
  if (!good.length || !forecasts.value) return null;
  return html`<section class="panel" aria-label="Forecasts"><h2>The last ${horizon} points of ${source.nSeries > MULTIPLES ? `the first ${MULTIPLES} series` : "each series"}</h2>
    <ul class="legend static">${good.map((row, i) => html`<li><span class="swatch" style=${{ color: `var(--series-${(i % 6) + 1})` }}></span>${row.name}</li>`)}<li><span class="swatch dashed"></span>what really came</li></ul>
    <div class="multiples">${forecasts.value.map(({ series, results, holdout }) => html`<${Multiple} key=${series.id} series=${series} source=${source} results=${results} holdout=${holdout} data=${data} />`)}</div></section>`;
}

function Multiple({ series, source, results, holdout, data }) {
  const chart = useMemo(() => buildChart({ series, source, results, holdout }), [series, results, holdout]);
  return html`<div><${Chart} title=${series.id} ...${chart} compact=${true} height=${170} />
    <a href=${makeLink("forecast", { data, series: series.id, models: results.map((result) => result.model).join(","), holdout })}>See ${series.id} in full</a></div>`;
}

function Leaderboard() {
  const board = useAsync((signal) => get("/leaderboard", { signal }), []);
  const groups = board.value?.leaderboard || [];
  return html`<section class="panel" aria-label="Leaderboard"><h2>Leaderboard</h2>
    <p class="hint">Scores on the test parts that models were trained with, a table for each data.</p>
    <${Problem} error=${board.error} />
    ${groups.map((group) => html`<div class="scroll" tabindex="0" role="region" aria-label=${`Leaderboard of ${group.data.kind} data, horizon ${group.horizon}`}><table>
      <caption>${group.data.kind === "synthetic" ? "The chapter's waves" : `${group.data.kind}, ${group.data.n_series} series${group.data.freq ? `, ${group.data.freq}` : ""}`}, ${group.horizon} ${group.horizon === 1 ? "step" : "steps"} ahead</caption>
      <thead><tr><th scope="col">Forecast</th><th scope="col">${group.metric.toUpperCase()}</th><th scope="col">MAE</th><th scope="col">RMSE</th></tr></thead>
      <tbody>${group.rows.map((row) => html`<tr class=${row.kind === "baseline" ? "baseline" : ""}><th scope="row">${row.kind === "model" ? html`<a href=${makeLink("models", {}, [row.model, String(row.version)])}>${row.model}</a>${row.is_current ? "" : ` version ${row.version}`}` : BASELINES[row.model] || row.model}</th>
        <td>${formatNumber(row.scores[group.metric])}</td><td>${formatNumber(row.scores.mae)}</td><td>${formatNumber(row.scores.rmse)}</td></tr>`)}</tbody></table></div>`)}
  </section>`;
}
