// Choosing series: paste, drop a file, or take an example. What is unclear is asked.

import { html, useEffect, useRef, useState } from "./html.js";
import { get } from "./api.js";
import { readColumns, readNumbers, uploadFile, uploadNumbers } from "./data.js";
import { formatCount } from "./format.js";
import { Problem, useAsync } from "./parts.js";

const FREQUENCIES = [["", "none"], ["h", "hours"], ["30min", "half-hours"], ["15min", "quarter-hours"], ["D", "days"], ["B", "business days"],
  ["W", "weeks"], ["MS", "months"], ["QS", "quarters"], ["YS", "years"]];
// Codes of problems that naming columns solves.
const COLUMN_CODES = new Set(["unknown_column", "missing_column", "duplicate_column"]);
const MOST_TEXT = 2_000_000;

/** Args: `value` is a reference of `data.js`; `source` what it names, once it is loaded; `onChange` takes another. */
export function DataPanel({ value, source, onChange, children }) {
  const examples = useAsync((signal) => get("/examples", { signal }), []);
  const [isOpen, setOpen] = useState(!value);
  const [text, setText] = useState("");
  const [frequency, setFrequency] = useState({ freq: "", start: "" });
  const [file, setFile] = useState(null);
  const [asked, setAsked] = useState(null);
  const [state, setState] = useState({ busy: "", error: null });
  const [isOver, setOver] = useState(false);
  const input = useRef(null);

  const take = async (read) => {
    setState({ busy: "Reading…", error: null });
    try {
      const ref = await read();
      setState({ busy: "", error: null });
      setAsked(null);
      setOpen(false);
      onChange(ref);
    } catch (error) {
      setState({ busy: "", error });
      setOpen(true);
      return error;
    }
    return null;
  };

  const readFile = async (content, name, options = {}) => {
    const error = await take(() => uploadFile(content, { name, options }));
    if (!error || !COLUMN_CODES.has(error.code)) return;
    const head = typeof content === "string" ? content : await content.slice(0, 100_000).text();
    setAsked({ content, name, columns: readColumns(head) });
  };

  const readText = () => {
    const numbers = readNumbers(text);
    if (numbers) take(() => uploadNumbers(numbers, frequency));
    else readFile(text, "pasted.csv");
  };

  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const [dropped] = event.dataTransfer.files;
    if (dropped) {
      setFile(dropped.name);
      readFile(dropped, dropped.name);
    } else {
      const dragged = event.dataTransfer.getData("text/plain");
      if (dragged) setText(dragged);
    }
  };

  const numbers = text.length < MOST_TEXT ? readNumbers(text) : null;
  return html`<section class=${isOver ? "panel data-panel over" : "panel data-panel"} aria-label="Series"
    onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <div class="data-head">
      <div>
        <h2>${source ? source.title : "Choose a series"}</h2>
        ${source && html`<p class="hint">${formatCount(source.nSeries, "series", "series")}, ${formatCount(source.nPoints, "point")}${source.freq ? `, frequency ${source.freq}` : ""}${source.description ? `. ${source.description}` : ""}</p>`}
      </div>
      <div class="data-actions">
        <label class="field inline"><span>Example</span>
          <select value=${value.startsWith("example:") ? value : ""} onChange=${(event) => { if (event.currentTarget.value) { setState({ busy: "", error: null }); setOpen(false); onChange(event.currentTarget.value); } }}>
            <option value="">choose…</option>
            ${(examples.value?.examples || []).map((example) => html`<option value=${`example:${example.name}`}>${example.title}</option>`)}
          </select></label>
        <button type="button" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>Your own series</button>
      </div>
    </div>
    ${isOpen && html`<div class="data-own">
      <label class="field"><span>Paste numbers, or a table with times and values</span>
        <textarea rows="5" value=${text} onInput=${(event) => setText(event.currentTarget.value)}
          placeholder=${"112 118 132 129 121 135 …\nor\ndate,sales\n2024-01-01,112\n2024-02-01,118"}></textarea></label>
      ${numbers && html`<div class="row">
        <label class="field"><span>Time between numbers</span><select value=${frequency.freq} onChange=${(event) => setFrequency({ ...frequency, freq: event.currentTarget.value })}>
          ${FREQUENCIES.map(([word, label]) => html`<option value=${word}>${label}</option>`)}</select></label>
        ${frequency.freq && html`<label class="field"><span>Time of the first number</span><input type="text" placeholder="2024-01-01" value=${frequency.start} onInput=${(event) => setFrequency({ ...frequency, start: event.currentTarget.value })} /></label>`}
      </div>`}
      <div class="row">
        <button type="button" class="primary" disabled=${!text.trim() || Boolean(state.busy)} onClick=${readText}>
          ${numbers ? `Use these ${numbers.length.toLocaleString("en")} numbers` : "Use this table"}</button>
        <span class="hint">or</span>
        <button type="button" onClick=${() => input.current.click()}>Choose a file…</button>
        <input ref=${input} type="file" class="visually-hidden" tabindex="-1" aria-label="A CSV or Parquet file" accept=".csv,.tsv,.txt,.parquet,.pq"
          onChange=${(event) => { const [chosen] = event.currentTarget.files; if (chosen) { setFile(chosen.name); readFile(chosen, chosen.name); } event.currentTarget.value = ""; }} />
        <span class="hint">CSV or Parquet; dropping it anywhere here works as well.</span>
      </div>
    </div>`}
    ${state.busy && html`<p role="status" class="hint">${state.busy}${file ? ` ${file}` : ""}</p>`}
    ${state.error && html`<${Problem} error=${state.error} />`}
    ${asked && html`<${ColumnForm} key=${asked.columns.join()} asked=${asked} onRead=${(options) => readFile(asked.content, asked.name, options)} />`}
    ${source && source.audit.length > 0 && html`<${Audit} findings=${source.audit} />`}
    ${children}
  </section>`;
}

/** Which column is which, where a file can be read in several ways. */
function ColumnForm({ asked, onRead }) {
  const [options, setOptions] = useState({});
  const choose = (name) => (event) => {
    const after = { ...options, [name]: event.currentTarget.value };
    if (!after[name]) delete after[name];
    setOptions(after);
  };
  const isWide = options.format === "wide";
  return html`<form class="asked" onSubmit=${(event) => { event.preventDefault(); onRead(options); }}>
    <h3>Which column is which?</h3>
    <div class="row">
      ${[["time_column", "Times"], ["target_column", "Values"], ["id_column", "Names of series"]].map(([name, label]) => html`
        <label class="field"><span>${label}</span><select value=${options[name] || ""} disabled=${isWide && name !== "time_column"} onChange=${choose(name)}>
          <option value="">none, or as found</option>
          ${asked.columns.map((column) => html`<option value=${column}>${column}</option>`)}
        </select></label>`)}
      <label class="field"><span>Layout</span><select value=${options.format || ""} onChange=${(event) => setOptions(event.currentTarget.value === "wide" ? { format: "wide", ...(options.time_column ? { time_column: options.time_column } : {}) } : (({ format, ...rest }) => rest)(options))}>
        <option value="">a row per time and series</option><option value="wide">a column per series</option></select></label>
    </div>
    <button type="submit" class="primary">Read it so</button>
  </form>`;
}

/** What the service noticed while it read the series. */
function Audit({ findings }) {
  return html`<details class="audit"><summary>${formatCount(findings.length, "remark")} about these series</summary>
    <ul>${findings.slice(0, 50).map((finding) => html`<li><code>${finding.code}</code> ${finding.id !== null && html`<strong>${finding.id}</strong> `}${finding.message}</li>`)}</ul>
    ${findings.length > 50 && html`<p class="hint">The first 50 of ${findings.length} are shown.</p>`}
  </details>`;
}
