// Forecasts a year of airline passengers with `fetch`, in Node 18 or later:
//
//     node examples/forecast.mjs [http://localhost:8000]
//
// It runs as well in the console of a browser that shows the service's page. Pages of other origins need the server's
// OUTFIELDER_CORS_ORIGINS to name them.

const node = globalThis.process;
const url = node?.argv[2] ?? globalThis.location?.origin ?? "http://localhost:8000";
const key = node?.env.OUTFIELDER_API_KEY;
const attempts = 5;

/** Sends JSON, if there is any, and gives the JSON of the answer; a server that is busy is asked again. */
async function call(path, body) {
  const headers = { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
  const request = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url + path, { ...request, signal: AbortSignal.timeout(60_000) });
    if (response.ok) return response.json();
    if ([429, 503].includes(response.status) && attempt < attempts) {
      const seconds = Number(response.headers.get("Retry-After") ?? 1);
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      continue;
    }
    // Every error is a problem document that says what was wrong, where, and how to mend it.
    const problem = await response.json();
    throw new Error(problem.errors.map((entry) => `${entry.pointer}: ${entry.message}`).join("\n"));
  }
}

async function main() {
  const { series: [record] } = await call("/examples/air-passengers");
  const known = record.values.slice(0, -12);
  const hidden = record.values.slice(-12);

  const answer = await call("/forecast", { series: known, horizon: 12, level: [80], freq: record.freq, start: record.start });
  const [forecast] = answer.forecasts;
  const { lower, upper } = forecast.intervals["80"];

  console.log("month       actual  forecast  80 % interval");
  forecast.timestamps.forEach((month, i) => {
    const numbers = [hidden[i].toFixed(0).padStart(6), forecast.values[i].toFixed(0).padStart(8)];
    console.log(`${month.slice(0, 10)}  ${numbers.join("  ")}  ${lower[i].toFixed(0)} to ${upper[i].toFixed(0)}`);
  });
  const error = hidden.reduce((sum, actual, i) => sum + Math.abs(actual - forecast.values[i]), 0) / hidden.length;
  console.log(`mean absolute error: ${error.toFixed(1)}`);
}

main().catch((error) => {
  console.error(error.cause ? `No server answers at ${url}: ${error.cause.message || error.cause.code}` : error.message);
  if (node) node.exitCode = 1;
});
