// The service's API as the page uses it. Addresses are relative, so that the page works below a proxy's path.

const KEY_NAME = "outfielder-api-key";
const RETRY_MS = 1000;

/** A problem document (RFC 9457), or what stood in the way of an answer. */
export class ApiError extends Error {
  constructor(problem, status) {
    super(problem.detail || problem.title || `The service answered ${status}.`);
    this.status = status;
    this.problem = problem;
    this.entries = problem.errors || [];
    this.code = this.entries[0]?.code || (problem.type || "").split(":").pop();
  }
}

const listeners = new Set();

/** Calls `listener` when the service asks for another key. Returns what takes it back. */
export function onKeyNeeded(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const readKey = () => sessionStorage.getItem(KEY_NAME) || localStorage.getItem(KEY_NAME) || "";

/** Keeps the key for this tab, or in this browser as well. */
export function keepKey(key, remember) {
  localStorage.removeItem(KEY_NAME);
  sessionStorage.removeItem(KEY_NAME);
  if (key) (remember ? localStorage : sessionStorage).setItem(KEY_NAME, key);
}

async function send(method, path, { body, type, signal, headers = {} } = {}) {
  const key = readKey();
  const options = { method, signal, headers: { ...headers } };
  if (key) options.headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) {
    options.headers["Content-Type"] = type || "application/json";
    options.body = type ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path.replace(/^\//, ""), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ detail: "The service can't be reached. Is it still running?" }, 0);
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { detail: `The service answered ${response.status} ${response.statusText}.` };
  }
  if (response.status === 401) listeners.forEach((listener) => listener(problem.detail));
  throw new ApiError(problem, response.status);
}

async function ask(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, body, options) => ask("POST", path, { body, ...options });
export const put = (path, body) => ask("PUT", path, { body });
export const remove = (path) => ask("DELETE", path);

/** Every item of a list, page by page, up to `limit`. */
export async function list(path, noun, limit = 1000) {
  const found = [];
  let cursor = null;
  do {
    const joint = path.includes("?") ? "&" : "?";
    const page = await get(cursor === null ? path : `${path}${joint}cursor=${encodeURIComponent(cursor)}`);
    found.push(...page[noun]);
    cursor = page.next_cursor;
  } while (cursor !== null && found.length < limit);
  return found;
}

/**
 * A job's events from its first one on. `EventSource` could send no key, so the stream is read by hand.
 * Comes back after a cut with the id of the last event. Returns when the job is done or `signal` aborts.
 */
export async function watchJob(id, { signal, onProgress, onDone }) {
  let last = 0;
  for (;;) {
    try {
      const headers = last ? { "Last-Event-ID": String(last) } : {};
      const response = await send("GET", `/jobs/${id}/events`, { signal, headers });
      for await (const event of readEvents(response.body)) {
        last = event.id;
        if (event.kind === "done") {
          onDone(event.data);
          return;
        }
        onProgress(event.data);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    if (signal.aborted) return;
  }
}

async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const fields = Object.fromEntries(
          block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
            const [name, ...rest] = line.split(": ");
            return [name, rest.join(": ")];
          }),
        );
        if (fields.data) yield { id: Number(fields.id), kind: fields.event, data: JSON.parse(fields.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
