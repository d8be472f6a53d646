// What a lesson needs of the store, and how to get it.

import { html, useState } from "../html.js";
import { post } from "../api.js";
import { makeLink } from "../link.js";
import { Problem } from "../parts.js";

/** The children where all named models are there; else an offer to train those that are missing. */
export function Needs({ names, models, children }) {
  const missing = names.filter((name) => !models.some((model) => model.name === name));
  const [jobs, setJobs] = useState([]);
  const [error, setError] = useState(null);
  if (missing.length === 0) return children;
  const train = async () => {
    try {
      const submitted = [];
      for (const name of missing) submitted.push(await post("/train", { architecture: name, scaling: "standard" }));
      setJobs(submitted);
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<p>This needs ${missing.join(" and ")}, which ${missing.length === 1 ? "is" : "are"} not trained here yet.</p>
    <${Problem} error=${error} />
    ${jobs.length ? html`<p role="status">In training: <a href=${makeLink("train", { job: jobs[0].id })}>watch it</a>, or stay; the figure appears by itself.</p>`
    : html`<button type="button" class="primary" onClick=${train}>Train ${missing.join(" and ")} (about half a minute each)</button>`}`;
}
