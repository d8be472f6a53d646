// The request that was sent, as curl and as Python.

import { html, useState } from "./html.js";
import { readKey } from "./api.js";
import { CopyButton } from "./parts.js";

const LONGEST_SHOWN = 20_000;

const address = (path) => new URL(path, document.baseURI).href;

export function toCurl(path, body) {
  const key = readKey() ? " -H \"Authorization: Bearer $OUTFIELDER_API_KEY\"" : "";
  return `curl -s ${address(path)} -H 'Content-Type: application/json'${key} -d '${JSON.stringify(body).replace(/'/g, "'\\''")}'`;
}

export function toPython(path, body) {
  const key = readKey();
  return [
    ...(key ? ["import os", ""] : []),
    "import httpx",
    "",
    `body = ${toLiteral(body)}`,
    `answer = httpx.post("${address(path)}", json=body${key ? ', headers={"Authorization": f"Bearer {os.environ[\'OUTFIELDER_API_KEY\']}"}' : ""})`,
    "answer.raise_for_status()",
    'for forecast in answer.json()["forecasts"]:',
    '    print(forecast["id"], forecast["values"])',
  ].join("\n");
}

/** JSON as Python writes it. */
function toLiteral(value) {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(toLiteral).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${toLiteral(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

export function CodeBlock({ results }) {
  const [language, setLanguage] = useState("curl");
  const write = language === "curl" ? toCurl : toPython;
  const code = results.map((result) => write("forecast", result.body)).join("\n\n");
  return html`<div class="code">
    <div class="row between">
      <div class="choice" role="group" aria-label="Language">${["curl", "Python"].map((name) => html`
        <button type="button" class="quiet" aria-pressed=${String(language === name)} onClick=${() => setLanguage(name)}>${name}</button>`)}</div>
      <${CopyButton} text=${code} label="Copy the code" />
    </div>
    <pre tabindex="0" role="region" aria-label="The code">${code.length > LONGEST_SHOWN ? `${code.slice(0, LONGEST_SHOWN)} … (the copy has all)` : code}</pre>
  </div>`;
}
