#!/usr/bin/env bash
# Forecasts a year of airline passengers with curl; a table goes in and comes out, so that nothing has to read JSON:
#
#     examples/forecast.sh [http://localhost:8000]
set -euo pipefail

url=${1:-http://localhost:8000}
sales=$(dirname "$0")/air_passengers.csv
# `--retry` asks again after 429 and 503, as late as `Retry-After` says; `--fail-with-body` shows what an error says.
curl=(curl --silent --show-error --fail-with-body --retry 5 --max-time 60)
if [ -n "${OUTFIELDER_API_KEY:-}" ]; then
  curl+=(--oauth2-bearer "$OUTFIELDER_API_KEY")
fi

# The head and the first 132 of 144 months: the last year is left out.
head -n 133 "$sales" |
  "${curl[@]}" "$url/forecast?horizon=12&level=80" --header 'Content-Type: text/csv' --header 'Accept: text/csv' --data-binary @-
