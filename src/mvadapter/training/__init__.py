"""A recipe in, an adapter out."""
