-- For wrk: posts one body again and again, and prints what happened as one line of JSON.
-- BENCH_BODY names the file that holds the body; BENCH_HEADERS holds a header a line, `name: value`.

local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()

for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^\n:]+): ([^\n]+)") do
   wrk.headers[name] = value
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      '{"requests":%d,"seconds":%.6f,"refused":%d,"failed":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d}',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
