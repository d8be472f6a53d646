// Numbers, times and words as people read them.

export const MINUS = "−";

/** A number in four significant digits, without an exponent where it can be read without. */
export function formatNumber(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(digits - 1).replace("-", MINUS);
  const places = size >= 1 ? Math.max(0, digits - 1 - Math.floor(Math.log10(size))) : digits;
  return value.toLocaleString("en", { maximumFractionDigits: places }).replace("-", MINUS);
}

export const formatPercent = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(1)} %`);

export const formatCount = (count, noun, plural = `${noun}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;

export function formatSeconds(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const FREQUENCIES = { min: "minute", h: "hour", D: "day", B: "business day", W: "week", MS: "month", ME: "month", QS: "quarter", QE: "quarter", YS: "year", YE: "year", s: "second", BMS: "month", BME: "month" };

/** A pandas offset alias in words: `MS` is `a value each month`. */
export function describeFrequency(freq) {
  const [, count, alias] = freq.match(/^(\d*)([A-Za-z]+)/) || [];
  const word = FREQUENCIES[alias];
  if (!word) return `frequency ${freq}`;
  return count > 1 ? `a value every ${count} ${word}s (${freq})` : `a value each ${word} (${freq})`;
}

/** A time stamp of the service as local date and time. */
export const formatTime = (stamp) =>
  stamp ? new Date(stamp).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "–";

/** Seconds since 1970 of a stamp; its wall time is read as UTC, so that no zone of the reader moves it. */
export function toSeconds(stamp) {
  const wall = stamp.replace(/\[.*\]$/, "").replace(/(Z|[+-]\d\d:?\d\d)$/, "");
  return Date.parse(wall.length <= 10 ? `${wall}T00:00:00Z` : `${wall}Z`) / 1000;
}

export const formatStamp = (seconds) => {
  const text = new Date(seconds * 1000).toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
};
