"""From trained weights to what is served: the SavedModel, the fast engine's graphs, and the proof of both."""
