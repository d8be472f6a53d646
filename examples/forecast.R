# Forecasts a year of airline passengers with httr2:
#
#     Rscript examples/forecast.R [http://localhost:8000]
#
# install.packages(c("httr2", "jsonlite")) installs what it needs.

library(httr2)

arguments <- commandArgs(trailingOnly = TRUE)
url <- if (length(arguments) > 0) arguments[1] else "http://localhost:8000"
key <- Sys.getenv("OUTFIELDER_API_KEY")

# Every error is a problem document that says what was wrong, where, and how to mend it.
describe <- function(response) {
  vapply(resp_body_json(response)$errors, function(entry) paste0(entry$pointer, ": ", entry$message), "")
}

# Sends JSON, if there is any, and gives the JSON of the answer; a server that is busy is asked again.
call_service <- function(path, body = NULL) {
  request <- request(url) |>
    req_url_path_append(path) |>
    req_timeout(60) |>
    req_retry(max_tries = 5, is_transient = \(response) resp_status(response) %in% c(429, 503)) |>
    req_error(body = describe)
  if (nzchar(key)) request <- req_auth_bearer_token(request, key)
  if (!is.null(body)) request <- req_body_json(request, body, digits = NA)
  resp_body_json(req_perform(request), simplifyVector = FALSE)
}

record <- call_service("examples/air-passengers")$series[[1]]
values <- unlist(record$values)
known <- head(values, -12)
hidden <- tail(values, 12)

# list(80), not 80: a vector of one number would become a number in place of a list.
answer <- call_service("forecast", list(
  series = known, horizon = 12L, level = list(80), freq = record$freq, start = record$start
))
forecast <- answer$forecasts[[1]]
interval <- forecast$intervals[["80"]]
predicted <- unlist(forecast$values)

cat("month       actual  forecast  80 % interval\n")
cat(sprintf(
  "%s  %6.0f  %8.0f  %.0f to %.0f\n", substr(unlist(forecast$timestamps), 1, 10), hidden, predicted,
  unlist(interval$lower), unlist(interval$upper)
), sep = "")
cat(sprintf("mean absolute error: %.1f\n", mean(abs(hidden - predicted))))
