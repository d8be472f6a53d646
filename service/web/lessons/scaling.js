// The same network with and without scaling, on a series of another magnitude than it learned from.

import { html, useMemo, useState } from "../html.js";
import { get, post } from "../api.js";
import { Chart } from "../chart.js";
import { buildChart } from "../forecast_chart.js";
import { forecastSeries } from "../forecast_request.js";
import { formatNumber } from "../format.js";
import { Problem, useAsync } from "../parts.js";
import { score } from "../scores.js";
import { Needs } from "./needed_models.js";

const SCALED = "linear";
const UNSCALED = "linear-unscaled";
const HIDDEN = 10;

export function ScalingLesson({ models, reload }) {
  return html`<p>Networks learn numbers near zero. The chapter's waves are such numbers; passengers by the hundred are not. Scaling takes the mean of the last points off, divides by their standard deviation, and undoes both afterwards. In Outfielder this is part of the model, so that nobody can forget it.</p>
    <${Needs} names=${[SCALED]} models=${models}>
      ${models.some((model) => model.name === UNSCALED) ? html`<${Compared} models=${models} />` : html`<${TrainUnscaled} reload=${reload} />`}
    </${Needs}>`;
}

function TrainUnscaled() {
  const [state, setState] = useState({ job: null, error: null });
  const train = async () => {
    try {
      setState({ job: await post("/train", { architecture: "linear", name: UNSCALED, scaling: "none" }), error: null });
    } catch (error) {
      setState({ job: null, error });
    }
  };
  return html`<p>Train the dense layer <code>${SCALED}</code> once more, on the same waves, without scaling, and see.</p>
    <${Problem} error=${state.error} />
    ${state.job ? html`<p role="status">In training. The figure appears by itself.</p>` : html`<button type="button" class="primary" onClick=${train}>Train ${UNSCALED} (a few seconds)</button>`}`;
}

function Compared({ models }) {
  const [factor, setFactor] = useState(1);
  const example = useAsync((signal) => get("/examples/air-passengers", { signal }), []);
  const series = useMemo(() => example.value && { ...example.value.series[0], values: example.value.series[0].values.map((value) => value * factor) }, [example.value, factor]);
  const source = example.value;
  const forecasts = useAsync((signal) => (series
    ? Promise.all([SCALED, UNSCALED].map((model) => forecastSeries({ model, mode: "auto", horizon: "", level: "", freq: "", series, source, holdout: HIDDEN, models }, signal)))
    : Promise.resolve(null)), [series]);
  const results = forecasts.value;
  const chart = useMemo(() => results && buildChart({ series, results, holdout: HIDDEN }), [results]);
  if (example.error || forecasts.error) return html`<${Problem} error=${example.error || forecasts.error} />`;
  if (!chart) return html`<p class="hint" role="status">Asking the service…</p>`;
  const rows = score({ series, results, holdout: HIDDEN, season: 12 });
  const errorOf = (name) => rows.find((row) => row.name === name)?.mae;
  return html`<label class="field"><span>Passengers in units of ${factor === 1 ? "1,000" : factor === 1000 ? "1" : factor === 0.001 ? "1,000,000" : "10,000"}</span>
      <select value=${String(factor)} onChange=${(event) => setFactor(Number(event.currentTarget.value))}>
        <option value="1">thousands</option><option value="0.001">millions</option><option value="1000">single passengers</option></select></label>
    <p>The mean absolute error on the last ${HIDDEN} months is <output>${formatNumber(errorOf(SCALED))}</output> with scaling and <output>${formatNumber(errorOf(UNSCALED))}</output> without. Change the unit: with scaling the forecast follows it exactly.</p>
    <${Chart} title="Airline passengers, with and without scaling" ...${chart} height=${280} downloads=${false} />
    <p class="hint">Neither has ever seen a yearly season. What helps with that is training on such series: <a href="#/train">try it</a>.</p>`;
}
