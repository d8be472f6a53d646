// One model's forecast of one series, with what can't be had left out and said.

import { post } from "./api.js";
import { hasIntervals } from "./parts.js";

/** The body of POST /forecast. */
export function makeBody({ model, mode, horizon, level, series, source, holdout, freq }) {
  const [name, version] = model.split("@");
  const values = holdout ? series.values.slice(0, -holdout) : series.values;
  const levels = level.split(/[,;\s]+/).filter(Boolean).map(Number);
  const steps = holdout || Number(horizon) || 0;
  const frequency = freq || series.freq || source.freq;
  return {
    model: name,
    ...(version ? { version: /^\d+$/.test(version) ? Number(version) : version } : {}),
    series: [{ id: series.id, values, ...(series.start && frequency ? { start: series.start } : {}) }],
    ...(mode !== "auto" ? { mode } : {}),
    ...(steps ? { horizon: steps } : {}),
    ...(levels.length ? { level: levels } : {}),
    ...(frequency && series.start ? { freq: frequency } : {}),
  };
}

/**
 * {model, body, answer, forecast, note} or {model, body, error}.
 * A model without intervals still forecasts: the note says what was left out.
 */
export async function forecastSeries(asked, signal) {
  const body = makeBody(asked);
  if (body.level && !hasIntervals(asked.models || [], asked.model, body.horizon)) {
    return { ...(await forecastSeries({ ...asked, level: "" }, signal)), note: "It is not calibrated for intervals so far ahead." };
  }
  try {
    return read(asked.model, body, await post("/forecast", body, { signal }));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.code !== "level_not_calibrated") return { model: asked.model, body, error };
    const { level, ...rest } = body;
    try {
      return { ...read(asked.model, rest, await post("/forecast", rest, { signal })), note: `Without intervals: ${error.message.replace(/ Leave .*$/, "")}` };
    } catch (second) {
      if (second.name === "AbortError") throw second;
      return { model: asked.model, body, error: second };
    }
  }
}

function read(model, body, answer) {
  return { model, body, answer, forecast: answer.forecasts[0], error: null, note: "" };
}
