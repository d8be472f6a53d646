// Fields for training options: each with what it means and what it is where it is left empty.

import { html } from "./html.js";

const LONGEST_PLACEHOLDER = 16;

/** Args: `values` are texts by the option's name, of an object's field by `option.field`. */
export function OptionFields({ options, values, preset, onChange, errorOf, prefix = "" }) {
  const set = (key, text) => {
    const after = { ...values, [key]: text };
    if (text === "") delete after[key];
    onChange(after);
  };
  return html`<div class="options">${options.map((option) => (option.fields.length
    ? html`<fieldset key=${option.name}><legend>${option.name}</legend><small>${option.description}</small>
        ${option.fields.map((field) => html`<${Field} key=${field.name} option=${field} id=${`${prefix}${option.name}.${field.name}`} values=${values} set=${set} error=${errorOf(`/${option.name}/${field.name}`)} />`)}</fieldset>`
    : html`<${Field} key=${option.name} option=${option} id=${`${prefix}${option.name}`} values=${values} set=${set} preset=${preset} error=${errorOf(`/${prefix.replace(".", "/")}${option.name}`)} />`))}</div>`;
}

function Field({ option, id, values, set, preset, error }) {
  const usual = preset?.defaults[option.name] ?? option.usual;
  const value = values[id] ?? "";
  const change = (event) => set(id, event.currentTarget.value);
  // Longer ones stand below, where they can be read whole.
  const isShort = String(usual).length <= LONGEST_PLACEHOLDER;
  const words = option.type === "boolean" ? ["true", "false"] : option.choices;
  return html`<label class="field"><span>${option.name}</span>
    ${words.length
      ? html`<select value=${value} onChange=${change}><option value="">default${usual === "" ? "" : `: ${usual}`}</option>${words.map((word) => html`<option value=${word}>${word}</option>`)}</select>`
      : html`<input inputmode="decimal" value=${value} onInput=${change} placeholder=${isShort ? String(usual) : ""} aria-invalid=${error ? "true" : undefined} />`}
    <small>${option.description}${option.minimum !== undefined && option.maximum !== undefined ? ` (${option.minimum} to ${option.maximum})` : ""}${isShort || words.length ? "" : `. Default: ${usual}`}</small>
    ${error && html`<small class="flaw" role="alert">${error}</small>`}</label>`;
}

/** The request's members of what was filled in. What is no number is sent as it stands, for the service to explain. */
export function readOptions(options, values, prefix = "") {
  const read = {};
  for (const option of options) {
    if (option.fields.length) {
      const inner = readOptions(option.fields, values, `${prefix}${option.name}.`);
      if (Object.keys(inner).length) read[option.name] = inner;
    } else {
      const text = (values[`${prefix}${option.name}`] ?? "").trim();
      if (text !== "") read[option.name] = parse(option, text);
    }
  }
  return read;
}

function parse(option, text) {
  if (option.type === "boolean") return text === "true";
  if (option.type === "integer" || option.type === "number") return Number.isNaN(Number(text)) ? text : Number(text);
  return text;
}
