// The words of the page, where somebody asks.

import { html } from "./html.js";

const WORDS = [
  ["Zero-shot", "the model that forecasts any series at once, without training: classical forecasts, weighed by a network that came with the service."],
  ["Horizon", "how many steps ahead are forecast."],
  ["Intervals", "between which bounds the value should lie; of 80 % intervals, four of five should hold."],
  ["MAE, RMSE", "the mean absolute error, and the root of the mean squared error, in the units of the series. RMSE counts large errors more."],
  ["MASE", "the mean absolute error divided by that of repeating the season before, inside the history. Below 1 is better than that."],
  ["sMAPE", "the error in percent of the values, between 0 and 200."],
  ["Naive, seasonal naive", "repeating the last value, or the season before: what any model has to beat."],
  ["Origin", "a point of the past from which a backtest forecasts, with only what was known then."],
  ["Window", "how many of the last points a model reads."],
  ["Season", "after how many points a pattern repeats: 12 in monthly data, 7 in daily."],
  ["Gate", "a new version must beat seasonal naive and the present champion on the validation part, before it answers by itself."],
  ["Champion", "the version that answers requests for a model. Moving it back is a rollback."],
  ["Default", "the model that answers requests that name none."],
  ["Charts", "drag over a part to zoom in, Shift or Ctrl and the wheel zoom at the pointer. On the keyboard: + and −, 0 for all, the arrows go from point to point, with Shift they move the part that is shown."],
  ["Beyond its own horizon", "a model reads its own forecasts as if they had come; errors add up."],
];

export function Glossary() {
  return html`<details class="panel glossary"><summary>What do the words mean?</summary>
    <dl class="facts">${WORDS.map(([word, meaning]) => html`<dt>${word}</dt><dd>${meaning}</dd>`)}</dl></details>`;
}
