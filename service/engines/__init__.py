"""Engines: what runs a version's numbers. Arrays in, arrays out; no asyncio, no requests."""
