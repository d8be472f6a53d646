"""Engines compute a version's forecasts. Arrays in, arrays out; no asyncio, no requests."""
