"""Trained networks as ONNX graphs, which the fast engine runs without TensorFlow."""
