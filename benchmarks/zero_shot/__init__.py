"""Forecasts without training: `make bench-zero-shot`."""
