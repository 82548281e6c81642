"""Drawn videos whose captions need time."""
