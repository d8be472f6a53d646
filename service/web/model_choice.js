// Which models: the default and those for series of one's own first, those that know waves alone apart.

import { html, useState } from "./html.js";
import { formatCount } from "./format.js";
import { nameOf } from "./parts.js";

/** Args: `chosen` are names as requests have them, `name` or `name@version`. */
export function ModelChoice({ models, chosen, onChange }) {
  const named = new Map(models.map((model) => [nameOf(model), model]));
  const forSeries = [...named].filter(([, model]) => model.calibrated_horizon !== 0).sort(([, a], [, b]) => b.is_default - a.is_default);
  const onWaves = [...named].filter(([, model]) => model.calibrated_horizon === 0);
  const others = chosen.filter((name) => !named.has(name)).map((name) => [name, null]);
  const [isOpen] = useState(() => forSeries.length === 0 || onWaves.some(([name]) => chosen.includes(name)));
  const toggle = (name, isOn) => onChange(isOn ? [...chosen, name] : chosen.filter((other) => other !== name));
  const show = ([name, model]) => html`<label class="check" key=${name}>
    <input type="checkbox" checked=${chosen.includes(name)} onChange=${(event) => toggle(name, event.currentTarget.checked)} />
    <span>${name}${model?.is_default ? html` <small>default</small>` : ""}${model && model.architecture !== model.name.replace("-", "_") ? html` <small>${model.architecture}</small>` : ""}</span></label>`;
  return html`<fieldset class="models"><legend>Models</legend>
    ${[...forSeries, ...others].map(show)}
    ${onWaves.length > 0 && html`<details open=${isOpen}><summary>${formatCount(onWaves.length, "model")} trained on waves</summary>${onWaves.map(show)}</details>`}
    ${models.length === 0 && html`<p class="hint">The store is empty. <a href="#/train">Train a model</a>.</p>`}
  </fieldset>`;
}
