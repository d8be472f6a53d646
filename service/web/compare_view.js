// Which model is best: a backtest of chosen models on chosen series, and the scores that the store remembers.

import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { get, post, put } from "./api.js";
import { Chart } from "./chart.js";
import { lastRef, loadData, toPosted } from "./data.js";
import { DataPanel } from "./data_panel.js";
import { buildChart } from "./forecast_chart.js";
import { forecastSeries } from "./forecast_request.js";
import { formatNumber, formatPercent } from "./format.js";
import { makeLink, replaceLink } from "./link.js";
import { ModelChoice } from "./model_choice.js";
import { Badge, Problem, TextField, checkCount, hasIntervals, useAsync } from "./parts.js";

const LEVELS = [80, 95];
const MULTIPLES = 6;
// Of each small chart, at least.
const SHOWN_POINTS = 40;
const USUAL_WINDOWS = "5";
const JOB_POLL_MS = 1000;
const BASELINES = { seasonal_naive: "seasonal naive", naive: "naive", linear: "linear regression" };

export function CompareView({ query, models, modelsError, reloadModels }) {
  const data = query.data || lastRef();
  const change = (changes) => replaceLink(makeLink("compare", { ...query, ...changes }));
  const loaded = useAsync((signal) => loadData(data, signal), [data]);
  const source = loaded.value?.ref === data ? loaded.value : null;
  const names = (query.models || "").split(",").filter(Boolean);
  const chosen = names.length ? names : models.filter((model) => model.is_default).map((model) => model.name);
  const [state, setState] = useState({ busy: "", error: null, rows: null });
  const windows = query.windows || USUAL_WINDOWS;
  const shortest = findShortest(models, chosen);
  const horizon = query.horizon || (shortest ? String(shortest.horizon) : "");

  // Of several that were begun the last one counts; none where other series are looked at meanwhile, or another view.
  const running = useRef(0);
  useEffect(() => () => { running.current += 1; }, [data]);
  const run = async () => {
    running.current += 1;
    const own = running.current;
    const rows = [];
    // One after the other: each asks for the whole machine.
    for (const name of chosen) {
      setState({ busy: `Measuring ${name}…`, error: null, rows: null });
      rows.push(await backtest(name, { source, horizon: horizon || (rows.find((row) => row.answer)?.answer.horizon ?? ""), windows, models, isWanted: () => running.current === own }));
      if (running.current !== own) return;
    }
    setState({ busy: "", error: null, rows });
  };
  // Who comes back to a comparison finds it again.
  useEffect(() => {
    if (query.run && source && chosen.length && !state.rows && !state.busy) run();
  }, [source]);
  return html`<div class="view">
    <h1 class="visually-hidden">Compare</h1>
    <${DataPanel} value=${data} source=${source} onChange=${(ref) => { setState({ busy: "", error: null, rows: null }); change({ data: ref, run: undefined }); }} />
    <${Problem} error=${loaded.error || modelsError} />
    <div class="split">
      <section class="panel settings" aria-label="Settings">
        <${ModelChoice} models=${models} chosen=${chosen} onChange=${(after) => change({ models: after.join(","), run: undefined })} />
        <${TextField} label="Horizon: steps ahead" inputmode="numeric" value=${horizon} placeholder="one season" check=${checkCount(1, 1000)} onChange=${(text) => change({ horizon: text, run: undefined })}
          hint=${!query.horizon && shortest ? `as ${shortest.name} was trained for` : ""} />
        <${TextField} label="Origins: forecasts of each series" inputmode="numeric" value=${windows} check=${checkCount(1, 1000)} onChange=${(text) => change({ windows: text, run: undefined })} />
        <button type="button" class="primary" disabled=${!source || !chosen.length || Boolean(state.busy)} onClick=${() => { change({ run: "1" }); run(); }}>${state.busy || "Compare"}</button>
      </section>
      <section class="panel result" aria-label="Comparison" aria-live="polite" aria-busy=${String(Boolean(state.busy))}>
        ${!state.rows && html`<p class="hint">A backtest forecasts the last points of every series from what was known before, several times, and counts the errors. The naive forecasts are measured on the same points.</p>`}
        ${state.rows && html`<${Ranking} rows=${state.rows} models=${models} reload=${reloadModels} /><${Seen} rows=${state.rows} source=${source} />`}
      </section>
    </div>
    ${state.rows && source && html`<${Multiples} source=${source} rows=${state.rows} data=${data} />`}
    <${Leaderboard} />
  </div>`;
}

/** The chosen model that was trained for the fewest steps: further ahead it would be judged by what it never learned. */
function findShortest(models, chosen) {
  const trained = chosen.map((name) => models.find((model) => model.name === name.split("@")[0])).filter((model) => model && model.architecture !== "zero_shot" && model.horizon > 1);
  return trained.sort((a, b) => a.horizon - b.horizon)[0];
}

/** {name, answer} or {name, error}. */
async function backtest(name, { source, horizon, windows, models, isWanted }) {
  const [model, version] = name.split("@");
  const body = {
    model, ...(version ? { version: Number(version) || version } : {}), ...toPosted(source), windows: Number(windows) || windows,
    ...(horizon ? { horizon: Number(horizon) || horizon } : {}), ...(source.season ? { season: source.season } : {}),
  };
  try {
    return { name, answer: await measure(hasIntervals(models, name, Number(horizon) || 0) ? { ...body, level: LEVELS } : body, isWanted) };
  } catch (error) {
    if (error.code !== "level_not_calibrated") return { name, error };
  }
  try {
    return { name, answer: await measure(body, isWanted) };
  } catch (error) {
    return { name, error };
  }
}

/** The answer, also where a job computes it, which is cancelled where nobody waits for it any more. */
async function measure(body, isWanted) {
  const answer = await post("/backtest", body);
  if (answer.overall) return answer;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, JOB_POLL_MS));
    if (!isWanted()) {
      await post(`/jobs/${answer.id}/cancel`, {});
      throw new Error("The comparison was given up.");
    }
    const job = await get(`/jobs/${answer.id}`);
    if (job.status === "succeeded") return job.result;
    if (job.status === "failed" || job.status === "cancelled") throw Object.assign(new Error(job.error?.message || "The backtest was cancelled."), { code: job.error?.code });
  }
}

function Ranking({ rows, models, reload }) {
  const [error, setError] = useState(null);
  const [done, setDone] = useState(null);
  const good = rows.filter((row) => row.answer);
  const first = good[0]?.answer;
  const ranked = [
    ...good.map((row) => ({ name: row.name, kind: "model", ...row.answer.overall.model })),
    ...(first ? Object.entries(BASELINES).filter(([key]) => first.overall[key]).map(([key, label]) => ({ name: label, kind: "baseline", ...first.overall[key] })) : []),
  ].sort((a, b) => (a.mase ?? a.mae) - (b.mase ?? b.mae));
  const isDefault = (name) => models.find((model) => model.name === name)?.is_default;
  const promote = async (name) => {
    const [model, version] = name.split("@");
    const before = models.find((other) => other.is_default)?.name;
    try {
      if (version) await put(`/models/${model}/aliases/champion`, { version: Number(version) });
      await put("/models/default", { name: model });
      setDone({ name, before: before === model ? "" : before });
      setError(null);
    } catch (problem) {
      setError(problem);
    }
    reload();
  };
  return html`<${Problem} error=${error} />
    ${done && html`<div class="problem good" role="status"><p>${done.name} is the default now: it is used wherever a request names no model. ${done.before && html`<button type="button" class="quiet" onClick=${() => promote(done.before)}>Undo: make it ${done.before} again</button>`}</p></div>`}
    ${good.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Ranking"><table>
      <caption>${first.windows} forecasts of ${first.horizon} steps for each series, ranked by MASE; the smaller, the better</caption>
      <thead><tr><th scope="col">Forecast</th><th scope="col">MASE</th><th scope="col">MAE</th><th scope="col">RMSE</th><th scope="col">sMAPE</th><th scope="col">Inside ${LEVELS.join(" / ")} %</th><th scope="col" class="text">Promote</th></tr></thead>
      <tbody>${ranked.map((row, i) => html`<tr class=${i === 0 ? "best" : row.kind}><th scope="row">${row.name}</th><td>${formatNumber(row.mase, 3)}</td><td>${formatNumber(row.mae)}</td><td>${formatNumber(row.rmse)}</td><td>${formatPercent(row.smape)}</td>
        <td>${row.coverage ? LEVELS.map((level) => formatPercent(row.coverage[String(level)])).join(" / ") : "–"}</td>
        <td class="text">${row.kind === "model" && (isDefault(row.name) ? html`<${Badge} kind="good">default</${Badge}>` : html`<button type="button" class="quiet" onClick=${() => promote(row.name)}>Make it the default<span class="visually-hidden"> ${row.name}</span></button>`)}</td></tr>`)}</tbody>
    </table></div>
    ${rows.some((row) => row.name.includes("@")) && html`<p class="hint">To make a version the default makes it the champion of its model as well.</p>`}`}
    ${rows.filter((row) => row.error).map((row) => html`<div><strong>${row.name}</strong><${Problem} error=${row.error} /></div>`)}
    ${good.some((row) => row.answer.series.some((series) => series.error)) && html`<p class="hint">Some series could not be measured: ${good[0].answer.series.filter((series) => series.error).slice(0, 3).map((series) => `${series.id}: ${series.error.message}`).join(" ")}</p>`}`;
}

/** Says so where a model may have seen the points that it was measured on. */
function Seen({ rows, source }) {
  const good = rows.filter((row) => row.answer);
  const { value } = useAsync((signal) => Promise.all(good.map((row) => get(`/models/${row.answer.model}/versions/${row.answer.version}`, { signal }))), [rows]);
  const seen = (value || []).filter(({ data }) => source.ref === `dataset:${data.id}` || (data.n_series === source.nSeries && data.n_points === source.nPoints));
  if (!seen.length) return null;
  return html`<p class="warning">${seen.map((manifest) => manifest.name).join(" and ")} ${seen.length === 1 ? "was" : "were"} trained on these series, to their end (option refit): this comparison flatters ${seen.length === 1 ? "it" : "them"}. The test ${seen.length === 1 ? "score of the training was" : "scores of the trainings were"} measured before: ${seen.map((manifest) => `${manifest.name} MASE ${formatNumber((manifest.metrics.test || manifest.metrics.validation)?.mase, 3)} (seasonal naive ${formatNumber(baselineOf(manifest), 3)})`).join(", ")}.</p>`;
}

const baselineOf = ({ metrics }) => (metrics.baselines?.seasonal_naive?.test || metrics.baselines?.seasonal_naive)?.mase;

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
  const chart = useMemo(() => buildChart({ series, results, holdout, leastShown: SHOWN_POINTS }), [series, results, holdout]);
  return html`<div><${Chart} title=${series.id} ...${chart} compact=${true} height=${170} />
    <a href=${makeLink("forecast", { data, series: series.id, models: results.map((result) => result.model).join(","), holdout })}>See ${series.id} in full</a></div>`;
}

function Leaderboard() {
  const board = useAsync((signal) => get("/leaderboard", { signal }), []);
  const groups = board.value?.leaderboard || [];
  return html`<section class="panel" aria-label="Leaderboard"><h2>Leaderboard</h2>
    <p class="hint">Scores on the test parts that models were trained with, a table for each data.</p>
    <${Problem} error=${board.error} />
    ${groups.map((group) => html`<div class="scroll" tabindex="0" role="region" aria-label=${`Leaderboard of ${group.data.kind} data ${(group.data.digest || "").slice(0, 6)}, horizon ${group.horizon}`}><table>
      <caption>${group.data.kind === "synthetic" ? "The chapter's waves" : `${group.data.kind}, ${group.data.n_series} series${group.data.freq ? `, ${group.data.freq}` : ""}`}, ${group.horizon} ${group.horizon === 1 ? "step" : "steps"} ahead</caption>
      <thead><tr><th scope="col">Forecast</th><th scope="col">${group.metric.toUpperCase()}</th><th scope="col">MAE</th><th scope="col">RMSE</th></tr></thead>
      <tbody>${group.rows.map((row) => html`<tr class=${row.kind === "baseline" ? "baseline" : ""}><th scope="row">${row.kind === "model" ? html`<a href=${makeLink("models", {}, [row.model, String(row.version)])}>${row.model}</a>${row.is_current ? "" : ` version ${row.version}`}` : BASELINES[row.model] || row.model}</th>
        <td>${formatNumber(row.scores[group.metric])}</td><td>${formatNumber(row.scores.mae)}</td><td>${formatNumber(row.scores.rmse)}</td></tr>`)}</tbody></table></div>`)}
  </section>`;
}
