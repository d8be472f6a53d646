// Small pieces that views share.

import { html, useEffect, useRef, useState } from "./html.js";
import { list } from "./api.js";

const SHOWN_ENTRIES = 5;

/** Runs `load(signal)` when `inputs` change, and drops answers that came too late. {value, error, busy, reload}. */
export function useAsync(load, inputs) {
  const [state, setState] = useState({ value: null, error: null, busy: true });
  const [count, setCount] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setState((before) => ({ ...before, busy: true }));
    load(stop.signal).then(
      (value) => { if (!stop.signal.aborted) setState({ value, error: null, busy: false }); },
      (error) => { if (!stop.signal.aborted) setState({ value: null, error, busy: false }); },
    );
    return () => stop.abort();
  }, [...inputs, count]);
  return { ...state, reload: () => setCount((before) => before + 1) };
}

/** All models, asked anew every `seconds` while the page is seen. */
export function useModels(seconds = 5) {
  const state = useAsync(() => list("/models", "models"), []);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) state.reload(); }, seconds * 1000);
    return () => clearInterval(timer);
  }, []);
  const last = useRef([]);
  const text = JSON.stringify(state.value);
  const kept = useRef("");
  // The same list keeps its identity, so that nothing is drawn anew.
  if (state.value && text !== kept.current) {
    kept.current = text;
    last.current = state.value;
  }
  return { ...state, models: last.current };
}

/** How requests name a model: one that the gate passed no version of answers by number only. */
export const nameOf = (model) => (model.current_version === null ? `${model.name}@${model.versions[model.versions.length - 1]}` : model.name);

/** Whether a model has intervals for so many steps (0: its own horizon), as far as is known of the version that is named. */
export function hasIntervals(models, name, steps = 0) {
  const model = models.find((other) => nameOf(other) === name);
  return !model || model.calibrated_horizon === null || model.calibrated_horizon >= (steps || Math.max(1, model.horizon));
}

/** A problem in words, entry by entry. */
export function Problem({ error }) {
  if (!error) return null;
  // Where several fields are wrong, or one that the message doesn't name, each is said with its field.
  const entries = error.entries?.filter((entry) => entry.pointer) || [];
  const isPlain = entries.length === 0 || (entries.length === 1 && error.message.toLowerCase().includes(nameField(entries[0]).toLowerCase()));
  return html`<div class="problem" role="alert">${isPlain
    ? html`<p>${error.message}</p>`
    : html`<ul>${entries.slice(0, SHOWN_ENTRIES).map((entry) => html`<li><strong>${nameField(entry)}</strong>: ${entry.message}</li>`)}</ul>`}
  </div>`;
}

/** The field that an entry of a problem is about: `/level/0` is `level`. */
const nameField = (entry) => entry.pointer.split("/").filter((part) => part && !/^\d+$/.test(part)).pop() || "request";

/**
 * A field whose text is handed on when it is done, by Enter or by leaving it.
 * `check(text)` says what is wrong with it, "" for nothing; what is wrong is not handed on.
 */
export function TextField({ label, value, onChange, hint, check = () => "", ...rest }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const flaw = text === value ? "" : check(text.trim());
  const commit = () => { if (text !== value && !flaw) onChange(text.trim()); };
  return html`<label class="field"><span>${label}</span>
    <input ...${rest} value=${text} aria-invalid=${flaw ? "true" : undefined} onInput=${(event) => setText(event.currentTarget.value)} onBlur=${commit}
      onKeyDown=${(event) => { if (event.key === "Enter") commit(); }} />
    ${flaw ? html`<small class="flaw" role="alert">${flaw}</small>` : hint && html`<small>${hint}</small>`}</label>`;
}

/** What is wrong with a text that should be a whole number from `least` to `most`, or nothing at all. */
export const checkCount = (least, most) => (text) => (text === "" || (/^\d+$/.test(text) && Number(text) >= least && Number(text) <= most)
  ? "" : `Expected a whole number from ${least} to ${most.toLocaleString("en")}.`);

/** What is wrong with a list of levels. */
export const checkLevels = (text) => (text.split(/[,;\s]+/).filter(Boolean).every((word) => Number(word) > 1 && Number(word) < 100)
  ? "" : "Expected numbers between 1 and 100, such as 80, 95.");

/** Copies text; says so. */
export function CopyButton({ text, label = "Copy" }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without permission, or where the page came over plain HTTP from another machine.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="quiet" onClick=${copy}>${isDone ? "Copied" : label}</button>`;
}

/** Asks before something is done that can't be undone. */
export function ConfirmDialog({ title, children, action, onConfirm, onClose }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="confirm-title">
    <h2 id="confirm-title">${title}</h2>
    <div>${children}</div>
    <div class="row end">
      <button type="button" onClick=${() => dialog.current.close()}>Keep it</button>
      <button type="button" class="danger" onClick=${() => { dialog.current.close(); onConfirm(); }}>${action}</button>
    </div>
  </dialog>`;
}

export const Badge = ({ kind = "", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;
