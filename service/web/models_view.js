// What the store holds: models, their versions, what each was measured at, and which one answers.

import { html, useEffect, useState } from "./html.js";
import { get, put, remove } from "./api.js";
import { formatCount, formatNumber, formatTime } from "./format.js";
import { go, makeLink } from "./link.js";
import { Badge, ConfirmDialog, Problem, useAsync } from "./parts.js";
import { VersionDetail } from "./version_detail.js";

export function ModelsView({ rest, models, modelsError, reloadModels }) {
  const [name, version] = rest;
  const chosen = models.find((model) => model.name === name);
  return html`<div class="view">
    <h1 class="visually-hidden">Models</h1>
    <${Problem} error=${modelsError} />
    <section class="panel" aria-label="Models">
      <h2>Models</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Table of models"><table>
        <caption>${formatCount(models.length, "model")}. The default is used where a request names no model.</caption>
        <thead><tr><th scope="col">Model</th><th scope="col" class="text">Architecture</th><th scope="col">Versions</th><th scope="col">Champion</th><th scope="col">Window</th><th scope="col">Horizon</th><th scope="col" class="text">Engine</th><th scope="col">Test score</th></tr></thead>
        <tbody>${models.map((model) => html`<tr key=${model.name} aria-selected=${String(model.name === name)}>
          <th scope="row"><a href=${makeLink("models", {}, [model.name])}>${model.name}</a> ${model.is_default && html`<${Badge} kind="good">default</${Badge}>`}</th>
          <td class="text">${model.architecture}</td><td>${model.versions.length}</td><td>${model.current_version === null ? "none passed" : `version ${model.current_version}`}</td>
          <td>${model.window}</td><td>${model.horizon}</td><td class="text">${model.engine || "none"}</td><td>${describeScore(model.metrics)}</td></tr>`)}</tbody>
      </table></div>
      ${models.length === 0 && html`<p class="hint">The store is empty. <a href="#/train">Train a model</a>.</p>`}
    </section>
    ${chosen && html`<${ModelDetail} key=${name} model=${chosen} version=${version ? Number(version) : null} reload=${reloadModels} />`}
    ${name && !chosen && models.length > 0 && html`<p class="problem">There is no model ${name}.</p>`}
  </div>`;
}

export function describeScore(metrics) {
  const scores = metrics?.test || metrics?.validation;
  if (!scores) return "–";
  return scores.mase === undefined || scores.mase === null ? `MSE ${formatNumber(scores.mse, 3)}` : `MASE ${formatNumber(scores.mase, 3)}`;
}

function ModelDetail({ model, version, reload }) {
  const [error, setError] = useState(null);
  const [asked, setAsked] = useState(null);
  const shown = version && model.versions.includes(version) ? version : model.current_version ?? model.versions[model.versions.length - 1];
  const key = `${model.versions.join()}|${JSON.stringify(model.aliases)}`;
  const manifests = useAsync((signal) => Promise.all([...model.versions].reverse().map((number) => get(`/models/${model.name}/versions/${number}`, { signal }))), [key]);
  const versions = manifests.value || [];
  const attempt = async (action) => {
    try {
      setError(null);
      await action();
    } catch (problem) {
      setError(problem);
    }
    reload();
  };
  const setAlias = (alias, number) => attempt(() => put(`/models/${model.name}/aliases/${alias}`, { version: number }));
  const manifest = versions.find((one) => one.version === shown);
  useEffect(() => setError(null), [shown]);
  return html`<section class="panel" aria-label=${`Model ${model.name}`}>
    <div class="row between"><h2>${model.name}</h2>
      <div class="row">
        <a href=${makeLink("forecast", { models: model.name })}>Forecast with it</a>
        <button type="button" class="danger" onClick=${() => setAsked("all")}>Delete the model</button>
        ${model.is_default ? html`<span class="hint">It is the default: used where a request names no model.</span>` : html`<button type="button" onClick=${() => attempt(() => put("/models/default", { name: model.name }))}>Make it the default</button>`}
      </div></div>
    <${Problem} error=${error || manifests.error} />
    <div class="scroll" tabindex="0" role="region" aria-label="Table of versions"><table>
      <caption>Versions, newest first. The champion answers requests for ${model.name}.</caption>
      <thead><tr><th scope="col">Version</th><th scope="col" class="text">Trained</th><th scope="col" class="text">Aliases</th><th scope="col" class="text">Gate</th><th scope="col">Test score</th><th scope="col">Weights</th><th scope="col" class="text">Actions</th></tr></thead>
      <tbody>${versions.map((one) => html`<tr key=${one.version} aria-selected=${String(one.version === shown)}>
        <th scope="row"><a href=${makeLink("models", {}, [model.name, String(one.version)])}>version ${one.version}</a>${one.version === model.current_version && html` <${Badge} kind="good">answers</${Badge}>`}</th>
        <td class="text">${formatTime(one.created_at)}</td>
        <td class="text">${Object.entries(model.aliases).filter(([, number]) => number === one.version).map(([alias]) => alias).join(", ") || "–"}</td>
        <td class="text">${one.gate ? (one.gate.passed ? "passed" : "not passed") : "–"}</td>
        <td>${describeScore(one.metrics)}</td><td>${one.parameters?.toLocaleString("en") ?? "–"}</td>
        <td class="text"><div class="row">
          <button type="button" class="quiet" disabled=${model.aliases.champion === one.version} onClick=${() => setAlias("champion", one.version)}>${rollsBack(model, one) ? "Roll back to it" : "Promote"}<span class="visually-hidden"> version ${one.version}</span></button>
          <button type="button" class="quiet danger" onClick=${() => setAsked(one.version)}>Delete<span class="visually-hidden"> version ${one.version}</span></button>
        </div></td></tr>`)}</tbody>
    </table></div>
    ${manifest && html`<${VersionDetail} key=${shown} model=${model} manifest=${manifest} />`}
    ${asked === "all" && html`<${ConfirmDialog} title=${`Delete ${model.name}?`} action="Delete it" onClose=${() => setAsked(null)}
      onConfirm=${() => attempt(async () => { await remove(`/models/${model.name}`); go("models"); })}>
      <p>${model.versions.length === 1 ? "Its version is" : `All ${model.versions.length} versions are`} removed from the store.${model.is_default ? " Another model becomes the default." : ""}</p></${ConfirmDialog}>`}
    ${asked !== null && asked !== "all" && html`<${ConfirmDialog} title=${`Delete version ${asked} of ${model.name}?`} action="Delete it" onClose=${() => setAsked(null)}
      onConfirm=${() => attempt(async () => { await remove(`/models/${model.name}/versions/${asked}`); if (asked === shown) go("models", {}, model.versions.length > 1 ? [model.name] : []); })}>
      <p>Its files are removed from the store, and its number is never used again. Whoever asks for it will be told that it is gone.</p></${ConfirmDialog}>`}
  </section>`;
}

const rollsBack = (model, version) => model.aliases.champion !== undefined && version.version < model.aliases.champion;
