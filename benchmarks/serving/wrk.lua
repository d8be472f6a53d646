-- What `wrk` posts, and its figures as one line of JSON. Arguments: the path, a file with one body in each line (JSON or, where
-- its name ends in `.hex`, bytes), and names and values of headers in turn.
local requests = {}
local sent = 0

function init(arguments)
  local headers = { ["Content-Type"] = "application/json" }
  for i = 3, #arguments, 2 do
    headers[arguments[i]] = arguments[i + 1]
  end
  for body in io.lines(arguments[2]) do
    if arguments[2]:match("%.hex$") then
      body = body:gsub("..", function(digits) return string.char(tonumber(digits, 16)) end)
    end
    requests[#requests + 1] = wrk.format("POST", arguments[1], headers, body)
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "longest": %f, "bad": %d, "lost": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
