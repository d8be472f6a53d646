// Choosing series: paste, drop a file, or take an example. What is unclear is asked.

import { html, useEffect, useRef, useState } from "./html.js";
import { get } from "./api.js";
import { keepRecent, readColumns, readNumbers, readRecent, uploadFile, uploadNumbers } from "./data.js";
import { describeFrequency, formatCount } from "./format.js";
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
  const textarea = useRef(null);
  useEffect(() => { if (isOpen && value) textarea.current.focus(); }, [isOpen]);

  const take = async (read) => {
    setState({ busy: "Reading…", error: null });
    setAsked(null);
    try {
      const ref = await read();
      setState({ busy: "", error: null });
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
    if (!error || !COLUMN_CODES.has(error.code) || /\.(parquet|pq)$/i.test(name)) return;
    const columns = readColumns(typeof content === "string" ? content : await content.slice(0, 100_000).text());
    if (columns.length < 2) return;
    // The first question is no fault of the file's.
    if (!Object.keys(options).length) setState({ busy: "", error: null });
    setAsked({ content, name, columns });
  };

  const readText = () => {
    const numbers = readNumbers(text);
    if (numbers) take(() => uploadNumbers(numbers, frequency));
    else readFile(text, "pasted table");
  };

  // A file may be dropped anywhere: a browser would open it in place of the page.
  const drop = useRef(null);
  drop.current = (event) => {
    event.preventDefault();
    setOver(false);
    const [dropped] = event.dataTransfer.files;
    if (!dropped) return;
    setFile(dropped.name);
    readFile(dropped, dropped.name);
  };
  useEffect(() => {
    const isFile = (event) => [...event.dataTransfer.types].includes("Files");
    const over = (event) => { if (isFile(event)) { event.preventDefault(); setOver(true); } };
    const leave = (event) => { if (event.relatedTarget === null) setOver(false); };
    const onDrop = (event) => { if (isFile(event)) drop.current(event); };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", onDrop);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", onDrop);
    };
  }, []);
  useEffect(() => { if (source) keepRecent(source.ref, source.title); }, [source]);
  const recent = readRecent().filter((one) => one.ref.startsWith("dataset:"));
  const choose = (ref) => { setState({ busy: "", error: null }); setAsked(null); setOpen(false); onChange(ref); };

  const numbers = text.length < MOST_TEXT ? readNumbers(text) : null;
  return html`<section class=${isOver ? "panel data-panel over" : "panel data-panel"} aria-label="Series">
    <div class="data-head">
      <div>
        <h2>${source ? source.title : "Choose a series"}</h2>
        ${source && html`<p class="hint">${formatCount(source.nSeries, "series", "series")}, ${formatCount(source.nPoints, "point")}${source.freq ? `, ${describeFrequency(source.freq)}` : ""}${source.description ? `. ${source.description}` : ""}</p>`}
      </div>
      <div class="data-actions">
        <label class="field inline"><span>Series</span>
          <select value=${value} onChange=${(event) => choose(event.currentTarget.value)}>
            ${recent.length > 0 && html`<optgroup label="Yours">${recent.map((one) => html`<option value=${one.ref}>${one.title || "Your series"}</option>`)}</optgroup>`}
            <optgroup label="Examples">${(examples.value?.examples || []).map((example) => html`<option value=${`example:${example.name}`}>${example.title}</option>`)}</optgroup>
          </select></label>
        <button type="button" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>Your own series</button>
      </div>
    </div>
    ${isOpen && html`<div class="data-own">
      <label class="field"><span>Paste numbers, or a table with times and values</span>
        <textarea ref=${textarea} rows="5" value=${text} onInput=${(event) => setText(event.currentTarget.value)}
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
        <span class="hint">CSV or Parquet; or drop it anywhere on this page.</span>
      </div>
    </div>`}
    ${state.busy && html`<p role="status" class="hint">${state.busy}${file ? ` ${file}` : ""}</p>`}
    ${state.error && html`<${Problem} error=${state.error} />`}
    ${asked && html`<${ColumnForm} key=${asked.columns.join()} asked=${asked} onRead=${(options) => readFile(asked.content, asked.name, options)} />`}
    ${source && source.audit.length > 0 && html`<${Audit} findings=${source.audit} />`}
    ${children}
  </section>`;
}

/** Which column is which, where a file can be read in several ways. What its first rows look like is filled in. */
function ColumnForm({ asked, onRead }) {
  const { columns } = asked;
  const of = (kind) => columns.filter((column) => column.kind === kind);
  const numbers = of("number");
  const [layout, setLayout] = useState("long");
  const [chosen, setChosen] = useState({
    time_column: of("time")[0]?.name || "", id_column: of("text")[0]?.name || "", target_column: numbers.length === 1 ? numbers[0].name : "",
  });
  const choose = (name) => (event) => setChosen({ ...chosen, [name]: event.currentTarget.value });
  const isWide = layout === "wide";
  const isReady = isWide || Boolean(chosen.target_column);
  const submit = (event) => {
    event.preventDefault();
    const names = isWide ? ["time_column"] : Object.keys(chosen);
    onRead({ ...Object.fromEntries(names.filter((name) => chosen[name]).map((name) => [name, chosen[name]])), ...(isWide ? { format: "wide" } : {}) });
  };
  const select = (name, label, empty) => html`<label class="field"><span>${label}</span><select value=${chosen[name]} onChange=${choose(name)}>
    <option value="">${empty}</option>
    ${columns.map((column) => html`<option value=${column.name}>${column.name}${column.example ? ` (${column.example})` : ""}</option>`)}</select></label>`;
  return html`<form class="asked" onSubmit=${submit}>
    <h3>Which column holds the values to forecast?</h3>
    <p class="hint">${asked.name || "The table"} has ${formatCount(columns.length, "column")}: ${columns.map((column) => column.name).join(", ")}. It can be read in several ways.</p>
    <div class="row">
      <label class="field"><span>Layout</span><select value=${layout} onChange=${(event) => setLayout(event.currentTarget.value)}>
        <option value="long">one column of values</option><option value="wide">each column of numbers is a series</option></select></label>
      ${!isWide && select("target_column", "Values", "choose…")}
      ${select("time_column", "Times", "none")}
      ${!isWide && select("id_column", "Names of series", "none: it is one series")}
    </div>
    <button type="submit" class="primary" disabled=${!isReady}>Read the file</button>
  </form>`;
}

/** What the service noticed while it read the series. */
function Audit({ findings }) {
  return html`<details class="audit"><summary>${formatCount(findings.length, "remark")} about these series</summary>
    <ul>${findings.slice(0, 50).map((finding) => html`<li><code>${finding.code}</code> ${finding.id !== null && html`<strong>${finding.id}</strong> `}${finding.message}</li>`)}</ul>
    ${findings.length > 50 && html`<p class="hint">The first 50 of ${findings.length} are shown.</p>`}
  </details>`;
}
