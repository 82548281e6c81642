"""Scores in, numbers out."""
