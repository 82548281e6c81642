"""Modules that several methods are built from."""
