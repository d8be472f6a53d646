// Errors on hidden points, as docs/metrics.md defines them.

/** Rows {name, mae, rmse, mase, coverage?} of models and of the naive forecasts. */
export function score({ series, results, holdout, season }) {
  const known = series.values.length - holdout;
  const actual = series.values.slice(known);
  const history = fillGaps(series.values.slice(0, known));
  const scale = naiveError(series.values.slice(0, known), season);
  const rows = results.filter((result) => result.forecast?.values).map((result) => ({
    name: result.model,
    ...errors(result.forecast.values, actual, scale),
    coverage: coverage(result.forecast.intervals, actual),
  }));
  if (!history.length) return rows;
  if (season > 1 && history.length >= season) {
    rows.push({ name: "seasonal naive", ...errors(actual.map((_, i) => history[history.length - season + (i % season)]), actual, scale) });
  }
  rows.push({ name: "naive", ...errors(actual.map(() => history[history.length - 1]), actual, scale) });
  return rows;
}

const isNumber = (value) => value !== null && value !== undefined;

function errors(forecast, actual, scale) {
  const gaps = actual.map((value, i) => (isNumber(value) && isNumber(forecast[i]) ? forecast[i] - value : null)).filter(isNumber);
  if (!gaps.length) return { mae: null, rmse: null, mase: null };
  const mae = gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / gaps.length;
  const rmse = Math.sqrt(gaps.reduce((sum, gap) => sum + gap * gap, 0) / gaps.length);
  return { mae, rmse, mase: scale > 0 ? mae / scale : null };
}

/** The mean absolute error of the (seasonal) naive forecast inside the history: the scale of MASE. */
function naiveError(values, season) {
  const lag = values.length > season ? season : 1;
  let [sum, count] = [0, 0];
  for (let i = lag; i < values.length; i += 1) {
    if (isNumber(values[i]) && isNumber(values[i - lag])) {
      sum += Math.abs(values[i] - values[i - lag]);
      count += 1;
    }
  }
  return count ? sum / count : 0;
}

function coverage(intervals, actual) {
  if (!intervals) return null;
  return Object.fromEntries(Object.entries(intervals).map(([level, { lower, upper }]) => {
    const measured = actual.map((value, i) => [value, i]).filter(([value]) => isNumber(value));
    const inside = measured.filter(([value, i]) => lower[i] <= value && value <= upper[i]);
    return [level, measured.length ? (100 * inside.length) / measured.length : 0];
  }));
}

/** The last number known before each gap, so that naive forecasts have something to repeat. */
function fillGaps(values) {
  const filled = [];
  for (const value of values) filled.push(isNumber(value) ? value : filled[filled.length - 1] ?? null);
  return filled;
}
