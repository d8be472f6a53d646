// From a series and its forecasts to what a chart draws: one axis, history, hidden points, lines and bands.

import { toSeconds } from "./format.js";
import { colorOf } from "./theme.js";

// Of a long series, the end is shown at first: so many horizons, but at least so many points.
const SHOWN_HORIZONS = 6;
const SHOWN_POINTS = 150;

/** The props of a `Chart`. `results` are those of `forecast_request.js`; those with errors are left out. */
export function buildChart({ series, results, holdout, leastShown = SHOWN_POINTS }) {
  const good = results.filter((result) => !result.error && result.forecast?.values);
  const count = series.values.length;
  const known = count - holdout;
  const starts = good.map((result) => (result.forecast.starts_after === undefined ? known : result.forecast.starts_after + 1));
  const ends = good.map((result, i) => starts[i] + result.forecast.values.length);
  const total = Math.max(count, ...ends);
  const { x, timed } = makeAxis(series, total, good, starts);
  const fill = () => new Array(total).fill(null);

  const lines = [];
  const history = fill();
  for (let i = 0; i < known; i += 1) history[i] = series.values[i];
  lines.push({ label: "history", values: history, color: "--ink", width: 1.5, points: known < 3 });
  if (holdout) {
    const actual = fill();
    for (let i = Math.max(0, known - 1); i < count; i += 1) actual[i] = series.values[i];
    lines.push({ label: "what really came", values: actual, color: "--muted", dash: [4, 3], points: holdout < 3 });
  }
  const bands = [];
  good.forEach((result, i) => {
    const color = colorOf(i);
    const place = (values, joined) => {
      const placed = fill();
      values.forEach((value, step) => { placed[starts[i] + step] = value; });
      const last = starts[i] - 1;
      if (joined && last >= 0) placed[last] = series.values[last];
      return placed;
    };
    const { values, intervals } = result.forecast;
    lines.push({ label: result.model, values: place(values, true), color, points: values.length < 40 });
    const levels = Object.keys(intervals || {}).sort((a, b) => b - a);
    for (const level of levels) {
      const { lower, upper } = intervals[level];
      bands.push({ label: `${result.model} ${level} %`, of: result.model, lower: place(lower, true), upper: place(upper, true), color });
    }
  });
  const horizon = Math.max(1, total - known);
  const shown = Math.max(leastShown, SHOWN_HORIZONS * horizon);
  const view = total > 2 * shown ? [x[total - shown], x[total - 1]] : null;
  return { x, lines, bands, timed, view, split: known > 0 ? x[known - 1] : null };
}

/** Seconds where the series has times, else the number of the point. */
function makeAxis(series, total, good, starts) {
  const stamps = series.timestamps;
  const x = new Float64Array(total);
  if (!stamps) {
    for (let i = 0; i < total; i += 1) x[i] = i + 1;
    return { x, timed: false };
  }
  stamps.forEach((stamp, i) => { x[i] = toSeconds(stamp); });
  const step = stamps.length > 1 ? x[stamps.length - 1] - x[stamps.length - 2] : 86400;
  for (let i = stamps.length; i < total; i += 1) x[i] = x[i - 1] + step;
  good.forEach((result, at) => (result.forecast.timestamps || []).forEach((stamp, i) => {
    const seconds = toSeconds(stamp);
    const place = starts[at] + i;
    if (place >= stamps.length && seconds > x[place - 1]) x[place] = seconds;
  }));
  return { x, timed: true };
}
