// The page: its views, the key it sends, and its colours.

import { html, render, useEffect, useRef, useState } from "./html.js";
import { keepKey, onKeyNeeded, readKey } from "./api.js";
import { CompareView } from "./compare_view.js";
import { ForecastView } from "./forecast_view.js";
import { Glossary } from "./glossary.js";
import { LearnView } from "./learn_view.js";
import { useLink } from "./link.js";
import { ModelsView } from "./models_view.js";
import { useModels } from "./parts.js";
import { applyTheme, readTheme } from "./theme.js";
import { TrainView } from "./train_view.js";

const VIEWS = { forecast: ["Forecast", ForecastView], train: ["Train", TrainView], models: ["Models", ModelsView], compare: ["Compare", CompareView], learn: ["Learn", LearnView] };
const THEMES = { system: "Auto", light: "Light", dark: "Dark" };

function App() {
  const link = useLink();
  const name = VIEWS[link.view] ? link.view : "forecast";
  const [title, View] = VIEWS[name];
  const [asksKey, setAsksKey] = useState("");
  const { models, error, busy, reload } = useModels();
  const main = useRef(null);
  const isFirst = useRef(true);
  useEffect(() => onKeyNeeded(setAsksKey), []);
  useEffect(() => {
    document.title = `${title} · Outfielder`;
    // Whoever listens to the page hears that another view has come; whoever sees it, sees its beginning.
    if (!isFirst.current) {
      main.current.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [name]);
  const isKeyMissing = error?.status === 401;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/forecast"><img src="web/icon.svg" alt="" width="28" height="28" /><span>Outfielder</span></a>
      <nav aria-label="Views"><ul>${Object.entries(VIEWS).map(([key, [label]]) => html`<li><a href=${`#/${key}`} aria-current=${key === name ? "page" : undefined}>${label}</a></li>`)}</ul></nav>
      <div class="top-tools">
        <a href="docs">API</a>
        <button type="button" class="quiet" onClick=${() => setAsksKey("Only services that ask for a key need one. It is sent with every request.")}>${readKey() ? "Key set" : "Key"}</button>
        <${ThemeChoice} />
      </div>
    </header>
    <main id="main" tabindex="-1" ref=${main}>
      ${isKeyMissing && !readKey() && html`<p class="problem" role="alert">This service asks for an API key. <button type="button" onClick=${() => setAsksKey("This service asks for an API key.")}>Enter it</button></p>`}
      ${(models.length > 0 || !busy || error) && html`<${View} key=${name} query=${link.query} rest=${link.rest} models=${models} modelsError=${error} reloadModels=${reload} />`}
      <${Glossary} />
    </main>
    <p id="chart-keys" hidden>Plus and minus zoom, 0 shows all, the arrows go from point to point, with Shift they move the part that is shown.</p>
    ${asksKey && html`<${KeyDialog} reason=${asksKey} onClose=${() => setAsksKey("")} />`}`;
}

function ThemeChoice() {
  const [theme, setTheme] = useState(readTheme);
  return html`<label class="field inline"><span class="visually-hidden">Colours</span><select value=${theme} onChange=${(event) => { setTheme(event.currentTarget.value); applyTheme(event.currentTarget.value); }}>
    ${Object.entries(THEMES).map(([key, label]) => html`<option value=${key}>${label}</option>`)}</select></label>`;
}

function KeyDialog({ reason, onClose }) {
  const dialog = useRef(null);
  const [key, setKey] = useState(readKey);
  const [isKept, setKept] = useState(false);
  useEffect(() => dialog.current.showModal(), []);
  const keep = (event) => {
    event.preventDefault();
    keepKey(key.trim(), isKept);
    location.reload();
  };
  return html`<dialog ref=${dialog} onClose=${onClose} aria-labelledby="key-title"><form onSubmit=${keep}>
    <h2 id="key-title">API key</h2>
    <p>${reason}</p>
    <label class="field"><span>Key</span><input type="password" autocomplete="off" value=${key} onInput=${(event) => setKey(event.currentTarget.value)} /></label>
    <label class="check"><input type="checkbox" checked=${isKept} onChange=${(event) => setKept(event.currentTarget.checked)} /><span>Keep it in this browser; otherwise in this tab only</span></label>
    <div class="row end"><button type="button" onClick=${() => dialog.current.close()}>Cancel</button><button type="submit" class="primary">Use this key</button></div>
  </form></dialog>`;
}

applyTheme(readTheme());
const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
