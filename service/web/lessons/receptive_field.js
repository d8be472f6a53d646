// How far back a model sees: each point is moved a little, and the forecast is asked for again.

import { html, useMemo, useState } from "../html.js";
import { post } from "../api.js";
import { Chart } from "../chart.js";
import { Problem, useAsync } from "../parts.js";
import { makeWaves } from "../waves.js";
import { Needs } from "./needed_models.js";

const POINTS = 50;
const NUDGE = 0.05;
const MODELS = [["wavenet", "--series-1"], ["gru", "--series-2"]];
// Two stacks of convolutions of two points each, with these gaps between them.
const DILATIONS = [1, 2, 4, 8, 1, 2, 4, 8];
// A logarithmic axis has no zero.
const LEAST = 1e-4;
const FIELD = 1 + DILATIONS.reduce((sum, gap) => sum + gap, 0);

export function ReceptiveFieldLesson({ models }) {
  return html`<p>WaveNet has no memory. Its layers combine two points each: neighbours in the first layer, points two apart in the second, then four, then eight, and once more from the start. So the last output depends on ${FIELD} points (1 + 2 × (1 + 2 + 4 + 8)), and on nothing before. A GRU could remember everything, but what lies far back fades.</p>
    <${Dilations} />
    <p class="hint">The first of two such stacks, seen from its last output: 16 points.</p>
    <${Needs} names=${MODELS.map(([name]) => name)} models=${models}><${Influence} /></${Needs}>`;
}

function Influence() {
  const [seed, setSeed] = useState(3);
  const wave = useMemo(() => makeWaves(1, POINTS, seed)[0], [seed]);
  // The first is left as it is; of each other one point is moved.
  const series = useMemo(() => [wave, ...wave.map((_, at) => wave.map((value, i) => (i === at ? value + NUDGE : value)))], [wave]);
  const { value, error } = useAsync((signal) => Promise.all(MODELS.map(([model]) => post("/forecast", { model, series, horizon: 1, mode: "vector" }, { signal }))), [series]);
  const chart = useMemo(() => value && {
    x: Float64Array.from({ length: POINTS }, (_, i) => i + 1),
    lines: MODELS.map(([name, color], i) => {
      const values = value[i].forecasts.map((forecast) => forecast.values[0]);
      return { label: name, color, points: true, values: Array.from({ length: POINTS }, (_, lag) => Math.max(LEAST, Math.abs(values[POINTS - lag] - values[0]) / NUDGE)) };
    }),
    logY: true,
    split: FIELD,
  }, [value]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!chart) return html`<p class="hint" role="status">Asking for ${POINTS + 1} forecasts of each model…</p>`;
  return html`<p>Here each of the last ${POINTS} points of a wave was moved by ${NUDGE}, one at a time, and both models were asked again. The chart shows how much the forecast of the next value moved, per unit, on a logarithmic axis. The dashed line is the ${FIELD}st point, WaveNet's last. What little it still notices beyond is not its layers: these models are scaled by the mean and the standard deviation of all ${POINTS} points.</p>
    <${Chart} title="How much the forecast moves with a point" ...${chart} xLabel="points before the forecast" height=${260} downloads=${false} />
    <button type="button" onClick=${() => setSeed(seed + 1)}>Another wave</button>`;
}

/** One stack of dilated convolutions: which points the last output is made of. */
function Dilations() {
  const count = 16;
  const [left, gap, top, rise] = [14, 26, 16, 30];
  const levels = [8, 4, 2, 1];
  const lines = [];
  let active = new Set([count - 1]);
  const dots = [[0, active]];
  levels.forEach((dilation, level) => {
    const next = new Set();
    for (const at of active) {
      for (const from of [at, at - dilation]) {
        if (from < 0) continue;
        next.add(from);
        lines.push([at, level, from, level + 1]);
      }
    }
    active = next;
    dots.push([level + 1, active]);
  });
  return html`<svg class="cells" viewBox="0 0 ${left * 2 + gap * (count - 1)} ${top * 2 + rise * levels.length}" role="img" aria-label="One stack of four layers with gaps of 1, 2, 4 and 8: the last output is made of 16 points">
    ${lines.map(([x1, y1, x2, y2]) => html`<line class="flow" x1=${left + x1 * gap} y1=${top + y1 * rise} x2=${left + x2 * gap} y2=${top + y2 * rise} />`)}
    ${dots.map(([level, found]) => Array.from({ length: count }, (_, i) => html`<circle cx=${left + i * gap} cy=${top + level * rise} r="5" class=${found.has(i) ? "dot on" : "dot"} />`))}
  </svg>`;
}
