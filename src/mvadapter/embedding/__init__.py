"""Files, stored frames, pictures and captions in, embeddings out: the one pipeline."""
