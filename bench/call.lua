-- wrk's half of the load: the call that bench/call.py wrote down, and the figures as one line of JSON.
-- COUNTERSEAL_BENCH_CALL names a file of header lines (`Name: value`), an empty line, and the body. COUNTERSEAL_BENCH_TOKENS,
-- where it is set, names a file of tokens, one a line: each call brings the next one.

local file = assert(io.open(os.getenv("COUNTERSEAL_BENCH_CALL"), "rb"))
local call = file:read("*a")
file:close()

local head, body = call:match("^(.-)\n\n(.*)$")
wrk.method = "POST"
wrk.body = body
for line in head:gmatch("[^\n]+") do
  local name, value = line:match("^([^:]+): (.*)$")
  wrk.headers[name] = value
end

local path = os.getenv("COUNTERSEAL_BENCH_TOKENS")
if path then
  local tokens, at, before, after = {}, 0, nil, nil
  for token in io.lines(path) do
    tokens[#tokens + 1] = token
  end

  function init()
    wrk.headers["Authorization"] = "Bearer ?"
    before, after = wrk.format():match("^(.-Bearer )%?(.*)$")
  end

  function request()
    at = at % #tokens + 1
    return before .. tokens[at] .. after
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'figures {"calls": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
