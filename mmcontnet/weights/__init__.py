"""Weights: reading files safely, comparing them with a network, loading pretrained ones, converting the release's."""
