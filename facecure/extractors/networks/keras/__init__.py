"""Keras models in torch: weights of known networks, and whole models by their own config."""
