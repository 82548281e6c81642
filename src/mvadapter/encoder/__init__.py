"""A frozen CLIP and an adapter side by side: pixels and captions in, embeddings out."""
