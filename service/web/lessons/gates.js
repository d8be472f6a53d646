// What the gates of an LSTM do while it reads a real series.

import { html, useMemo, useState } from "../html.js";
import { get, post } from "../api.js";
import { Chart } from "../chart.js";
import { Problem, useAsync } from "../parts.js";
import { Needs } from "./needed_models.js";

const MODEL = "lstm";
const SERIES = [["air-passengers", "Airline passengers"], ["road-casualties", "Road casualties"], ["half-hourly-demand", "Demand for electricity"]];
const GATES = { forget_gate: "forget gate", input_gate: "input gate", output_gate: "output gate" };

export function GatesLesson({ models }) {
  return html`<p>A simple cell forgets within a few steps. An LSTM keeps a second state, the cell state, and three gates guard it: the forget gate says how much of it is kept, the input gate how much is written, the output gate how much is shown. Each is a number between 0 (shut) and 1 (open), computed anew at every step.</p>
    <${Needs} names=${[MODEL]} models=${models}><${Gates} /></${Needs}>`;
}

function Gates() {
  const [name, setName] = useState(SERIES[0][0]);
  const [layer, setLayer] = useState(0);
  const [unit, setUnit] = useState(0);
  const { value, error } = useAsync(async (signal) => {
    const example = await get(`/examples/${name}`, { signal });
    return post("/activations", { model: MODEL, series: example.series[0].values }, { signal });
  }, [name]);
  const charts = useMemo(() => {
    if (!value) return null;
    const { values } = value.layers[Math.min(layer, value.layers.length - 1)];
    const x = Float64Array.from(value.input, (_, i) => i + 1);
    const of = (key) => values[key].map((units) => units[Math.min(unit, units.length - 1)]);
    return [
      { x, lines: [
        { label: "what it reads, scaled", values: value.input, color: "--ink", width: 1.5 },
        { label: "cell state", values: of("cell_state"), color: "--series-1" },
        { label: "what it shows (hidden state)", values: of("hidden_state"), color: "--series-2" },
      ] },
      { x, lines: Object.entries(GATES).map(([key, label], i) => ({ label, values: of(key), color: `--series-${i + 3}` })) },
    ];
  }, [value, layer, unit]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!charts) return html`<p class="hint" role="status">Asking the service…</p>`;
  const { units } = value.layers[Math.min(layer, value.layers.length - 1)];
  return html`<div class="row">
      <label class="field"><span>Series</span><select value=${name} onChange=${(event) => setName(event.currentTarget.value)}>${SERIES.map(([word, label]) => html`<option value=${word}>${label}</option>`)}</select></label>
      <label class="field"><span>Layer</span><select value=${String(layer)} onChange=${(event) => setLayer(Number(event.currentTarget.value))}>${value.layers.map((one, i) => html`<option value=${String(i)}>${one.name}</option>`)}</select></label>
      <label class="field"><span>Unit ${unit + 1} of ${units}</span><input type="range" min="0" max=${units - 1} value=${unit} onInput=${(event) => setUnit(Number(event.currentTarget.value))} /></label>
    </div>
    <${Chart} title=${`The series and the states of unit ${unit + 1}`} ...${charts[0]} xLabel="step" height=${220} downloads=${false} />
    <${Chart} title=${`The gates of unit ${unit + 1}`} ...${charts[1]} xLabel="step" height=${220} downloads=${false} />
    <p class="hint">The model was trained on waves alone; what you see is what it makes of a series that it has never met. Move through the units: some follow the level, some the turns.</p>`;
}
