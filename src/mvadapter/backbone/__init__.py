"""The frozen CLIP: its weights as a value, and our own run of its two towers."""
