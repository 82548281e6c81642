"""Embeddings in, scores out: pure functions."""
