// Where series come from: built-in examples, uploads, and what is pasted or dropped, which becomes an upload.

import { get, post } from "./api.js";

export const FIRST_EXAMPLE = "example:air-passengers";
const SERIES_AT_ONCE = 100;
const KNOWN_SOURCES = 8;
const RECENT = "outfielder-recent";
const KEPT_RECENT = 8;
const known = new Map();

/**
 * A source of series, by its reference: `example:NAME` or `dataset:ID`.
 * {ref, title, description, freq, season, nSeries, nPoints, audit, series: [{id, values, freq, start, timestamps}], cursor}
 */
export async function loadData(ref, signal) {
  if (known.has(ref)) return known.get(ref);
  const [kind, ...rest] = ref.split(":");
  const name = encodeURIComponent(rest.join(":"));
  const source = kind === "example" ? await loadExample(ref, name, signal) : await loadDataset(ref, name, signal);
  remember(ref, source);
  return source;
}

function remember(ref, source) {
  known.set(ref, source);
  if (known.size > KNOWN_SOURCES) known.delete(known.keys().next().value);
}

async function loadExample(ref, name, signal) {
  const example = await get(`/examples/${name}`, { signal });
  const nPoints = example.series.reduce((sum, series) => sum + series.values.length, 0);
  return { ...example, ref, nSeries: example.n_series, nPoints, audit: [], cursor: null };
}

async function loadDataset(ref, name, signal) {
  const [facts, page] = await Promise.all([
    get(`/datasets/${name}`, { signal }),
    get(`/datasets/${name}/series?limit=${SERIES_AT_ONCE}`, { signal }),
  ]);
  return {
    ref, title: readTitle(ref) || "Your series", description: "", freq: facts.freq, season: null,
    nSeries: facts.n_series, nPoints: facts.n_points, audit: facts.audit, series: page.series, cursor: page.next_cursor,
  };
}

/** The series of a source by its id, also where it was not among the first. */
export async function loadSeries(source, id, signal) {
  const found = id ? source.series.find((series) => series.id === id) : source.series[0];
  if (found || source.cursor === null) return found || source.series[0];
  const name = encodeURIComponent(source.ref.slice("dataset:".length));
  const page = await get(`/datasets/${name}/series?id=${encodeURIComponent(id)}`, { signal });
  source.series.push(...page.series);
  return page.series[0];
}

/** What a forecast or a backtest posts of a source: an upload by its id, else the series. */
export const toPosted = (source) => (source.ref.startsWith("dataset:")
  ? { dataset: source.ref.slice("dataset:".length) }
  : { series: source.series.map(toRecord), ...(source.freq ? { freq: source.freq } : {}) });

/** What a training is given. */
export const toTrainingData = (source) => (source.ref.startsWith("dataset:")
  ? { kind: "dataset", id: source.ref.slice("dataset:".length) }
  : { kind: "series", series: source.series.map(toRecord), ...(source.freq ? { freq: source.freq } : {}) });

const toRecord = ({ id, values, start }) => ({ id, values, ...(start ? { start } : {}) });

/** Uploads a file or text. Returns the reference. `options` name columns, as the parameters of POST /datasets. */
export async function uploadFile(content, { name = "", options = {} } = {}) {
  const isParquet = /\.(parquet|pq)$/i.test(name);
  const query = new URLSearchParams(options).toString();
  const type = isParquet ? "application/vnd.apache.parquet" : "text/csv";
  const facts = await post(`/datasets${query ? `?${query}` : ""}`, content, { type });
  return keepRecent(`dataset:${facts.id}`, name);
}

/** Uploads plain numbers. `freq` and `start` may be empty. */
export async function uploadNumbers(values, { freq = "", start = "" } = {}) {
  const facts = await post("/datasets", { series: [values], ...(freq ? { freq } : {}), ...(freq && start ? { start } : {}) });
  return keepRecent(`dataset:${facts.id}`, `${values.length.toLocaleString("en")} numbers`);
}

/** What this tab looked at last, newest first: [{ref, title}]. The service keeps no names of files; this does. */
export const readRecent = () => JSON.parse(sessionStorage.getItem(RECENT) || "[]");

const readTitle = (ref) => readRecent().find((recent) => recent.ref === ref)?.title;

/** Makes a source what views show that are told of no other. Returns its reference. */
export function keepRecent(ref, title) {
  const others = readRecent().filter((recent) => recent.ref !== ref);
  sessionStorage.setItem(RECENT, JSON.stringify([{ ref, title: title || readTitle(ref) || "" }, ...others].slice(0, KEPT_RECENT)));
  return ref;
}

/** The reference of what is to be shown where the address names nothing. */
export const lastRef = () => readRecent()[0]?.ref || FIRST_EXAMPLE;

/** Numbers separated by commas, semicolons, spaces or lines; null for other text, which is a file's. */
export function readNumbers(text) {
  const trimmed = text.trim().replace(/^\[|\]$/g, "");
  if (!trimmed) return null;
  const separator = /[\n;\t]/.test(trimmed) && !/,\s|,$/m.test(trimmed) ? /[\n;\t\s]+/ : /[,;\s]+/;
  const words = trimmed.split(separator).filter((word) => word !== "");
  const values = words.map((word) => (/^(null|nan|na|none|-)$/i.test(word) ? null : Number(word)));
  return values.length > 1 && values.every((value) => value === null || Number.isFinite(value)) ? values : null;
}

/** The columns of a file's text, to choose among: [{name, kind, example}]; kinds are time, number and text. */
export function readColumns(text) {
  const lines = text.slice(0, 100_000).split(/\r?\n/).filter((line) => line.trim() !== "").slice(0, 20);
  const separator = [",", ";", "\t", "|"].sort((a, b) => lines[0].split(b).length - lines[0].split(a).length)[0];
  const [names, ...rows] = lines.map((line) => splitRow(line, separator));
  return names.map((name, i) => {
    const cells = rows.map((row) => row[i] ?? "").filter((cell) => cell !== "");
    return { name, kind: guessKind(cells), example: cells[0] ?? "" };
  });
}

function splitRow(line, separator) {
  const cells = [""];
  let isQuoted = false;
  for (const letter of line) {
    if (letter === '"') isQuoted = !isQuoted;
    else if (letter === separator && !isQuoted) cells.push("");
    else cells[cells.length - 1] += letter;
  }
  return cells.map((cell) => cell.trim());
}

function guessKind(cells) {
  if (!cells.length) return "text";
  if (cells.every((cell) => /^[-+]?[\d.,\s]+(e[-+]?\d+)?$/i.test(cell) && !/^\d{1,4}[.]\d{1,2}[.]\d{2,4}$/.test(cell))) return "number";
  return cells.every((cell) => /\d/.test(cell) && /[-/.:]|[a-z]{3}/i.test(cell)) ? "time" : "text";
}
