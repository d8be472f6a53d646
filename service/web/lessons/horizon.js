// The error of each step ahead: fed back step by step, all at once, or at every time step.

import { html, useMemo, useState } from "../html.js";
import { post } from "../api.js";
import { Chart } from "../chart.js";
import { formatNumber } from "../format.js";
import { Problem, useAsync } from "../parts.js";
import { colorOf } from "../theme.js";
import { makeWaves } from "../waves.js";
import { Needs } from "./needed_models.js";

const WAVES = 300;
const [READ, STEPS] = [50, 10];
const WAYS = [
  ["deep_rnn", "autoregressive", "one step, fed back"],
  ["vector_rnn", "vector", "all steps at once"],
  ["sequence_rnn", "sequence", "all steps, learned at every time step"],
];

export function HorizonLesson({ models }) {
  return html`<p>A model that forecasts one step can be asked for ten: its forecast is appended to the series and read again. Each step then inherits the errors of those before. A vector model forecasts ten values at once, and a sequence model does so at every time step while it learns, which gives it many more errors to learn from.</p>
    <${Needs} names=${WAYS.map(([name]) => name)} models=${models}><${ErrorsByStep} /></${Needs}>`;
}

function ErrorsByStep() {
  const [seed, setSeed] = useState(7);
  const waves = useMemo(() => makeWaves(WAVES, READ + STEPS, seed), [seed]);
  const series = useMemo(() => waves.map((wave) => wave.slice(0, READ)), [waves]);
  const { value, error } = useAsync((signal) => Promise.all(WAYS.map(([model, mode]) => post("/forecast", { model, mode, series, horizon: STEPS }, { signal }))), [series]);
  const chart = useMemo(() => {
    if (!value) return null;
    const errorsOf = (forecasts) => Array.from({ length: STEPS }, (_, step) => forecasts.reduce((sum, values, i) => sum + (values[step] - waves[i][READ + step]) ** 2, 0) / WAVES);
    const naive = errorsOf(series.map((wave) => Array(STEPS).fill(wave[READ - 1])));
    return {
      x: Float64Array.from({ length: STEPS }, (_, i) => i + 1),
      lines: [
        ...WAYS.map(([, , label], i) => ({ label, values: errorsOf(value[i].forecasts.map((forecast) => forecast.values)), color: colorOf(i), points: true })),
        { label: "repeating the last value", values: naive, color: "--muted", dash: [4, 3] },
      ],
      logY: true,
    };
  }, [value]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!chart) return html`<p class="hint" role="status">Forecasting ${WAVES} waves in three ways…</p>`;
  const last = chart.lines.map((line) => line.values[STEPS - 1]);
  return html`<p>${WAVES} waves that no model has seen, ${READ} points of each. At the tenth step the mean squared error is <output>${formatNumber(last[0], 2)}</output> where one step is fed back, <output>${formatNumber(last[1], 2)}</output> and <output>${formatNumber(last[2], 2)}</output> where all are forecast at once. The vertical axis is logarithmic.</p>
    <${Chart} title="Mean squared error by step ahead" ...${chart} xLabel="steps ahead" height=${280} downloads=${false} />
    <button type="button" onClick=${() => setSeed(seed + 1)}>${WAVES} other waves</button>`;
}
