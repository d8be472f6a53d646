// One recurrent unit over time: what it reads, what it remembers, and its three weights.

import { html, useMemo, useState } from "../html.js";
import { post } from "../api.js";
import { Chart } from "../chart.js";
import { formatNumber } from "../format.js";
import { Problem, useAsync } from "../parts.js";
import { makeWaves } from "../waves.js";
import { Needs } from "./needed_models.js";

const MODEL = "simple_rnn";
const POINTS = 50;
const SHOWN_CELLS = 5;

export function CellLesson({ models }) {
  return html`<p>A recurrent cell reads a series one value at a time. At each step it combines the new value with its own state of the step before, and that state is all that it remembers. Drawn for every step it looks like a row of cells; yet it is one, with the same weights throughout.</p>
    <${Needs} names=${[MODEL]} models=${models}><${Unrolled} /></${Needs}>`;
}

function Unrolled() {
  const [seed, setSeed] = useState(1);
  const [step, setStep] = useState(SHOWN_CELLS);
  const wave = useMemo(() => makeWaves(1, POINTS, seed)[0], [seed]);
  const { value, error } = useAsync((signal) => post("/activations", { model: MODEL, series: wave }, { signal }), [wave]);
  const states = useMemo(() => value && value.layers[value.layers.length - 1].values.hidden_state.map((units) => units[0]), [value]);
  const chart = useMemo(() => value && {
    x: Float64Array.from(value.input, (_, i) => i + 1),
    lines: [
      { label: "what it reads, scaled", values: value.input, color: "--ink", width: 1.5 },
      { label: "its state", values: states, color: "--series-1" },
    ],
    split: step,
  }, [value, states, step]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!value) return html`<p class="hint" role="status">Asking the service…</p>`;
  const weights = solve(value.input, states);
  return html`
    <p>This is ${MODEL}, whose single unit has three weights: <code>state = tanh(${formatNumber(weights[0], 3)} × value ${signed(weights[1])} × state before ${signed(weights[2])})</code>. Its state is its forecast of the next value.</p>
    <label class="field"><span>Step ${step} of ${POINTS}</span><input type="range" min=${SHOWN_CELLS} max=${POINTS} value=${step} onInput=${(event) => setStep(Number(event.currentTarget.value))} /></label>
    <${Cells} step=${step} values=${value.input} states=${states} />
    <${Chart} title="A wave and the state of the cell that reads it" ...${chart} xLabel="step" height=${240} downloads=${false} />
    <button type="button" onClick=${() => setSeed(seed + 1)}>Another wave</button>`;
}

const signed = (number) => `${number < 0 ? "−" : "+"} ${formatNumber(Math.abs(number), 3)}`;

/** The last cells up to a step: values go in from below, states go on to the right. */
function Cells({ step, values, states }) {
  const first = step - SHOWN_CELLS;
  const width = 130;
  return html`<svg class="cells" viewBox="0 0 ${SHOWN_CELLS * width} 150" role="img" aria-label=${`Steps ${first + 1} to ${step}: ${Array.from({ length: SHOWN_CELLS }, (_, i) => `value ${formatNumber(values[first + i], 2)} gives state ${formatNumber(states[first + i], 2)}`).join("; ")}`}>
    ${Array.from({ length: SHOWN_CELLS }, (_, i) => {
    const [x, at] = [i * width + 35, first + i];
    return html`<g key=${i}>
        <line x1=${x - 35} y1="65" x2=${x - 4} y2="65" class="flow" /><path d=${`M${x - 10} 60 l8 5 l-8 5`} class="flow" />
        <rect x=${x} y="42" width="62" height="46" rx="8" class=${i === SHOWN_CELLS - 1 ? "cell now" : "cell"} />
        <text x=${x + 31} y="70" text-anchor="middle">tanh</text>
        <line x1=${x + 31} y1="118" x2=${x + 31} y2="92" class="flow" /><path d=${`M${x + 26} 98 l5 -8 l5 8`} class="flow" />
        <text x=${x + 31} y="134" text-anchor="middle" class="number">${formatNumber(values[at], 2)}</text>
        <text x=${x + 31} y="30" text-anchor="middle" class="number state">${formatNumber(states[at], 2)}</text>
        <text x=${x + 31} y="12" text-anchor="middle" class="small">step ${at + 1}</text>
      </g>`;
  })}
  </svg>`;
}

/** The weights [of the value, of the state, bias] that explain all steps: least squares of atanh(state). */
function solve(values, states) {
  const rows = [];
  for (let i = 1; i < states.length; i += 1) {
    if (Math.abs(states[i]) < 0.999) rows.push([[values[i], states[i - 1], 1], Math.atanh(states[i])]);
  }
  const matrix = [0, 1, 2].map((i) => [...[0, 1, 2].map((j) => rows.reduce((sum, [x]) => sum + x[i] * x[j], 0)), rows.reduce((sum, [x, y]) => sum + x[i] * y, 0)]);
  for (let i = 0; i < 3; i += 1) {
    for (let j = 0; j < 3; j += 1) {
      if (i === j) continue;
      const factor = matrix[j][i] / matrix[i][i];
      for (let k = i; k < 4; k += 1) matrix[j][k] -= factor * matrix[i][k];
    }
  }
  return matrix.map((row, i) => row[3] / row[i]);
}
