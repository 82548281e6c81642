"""Who supplies videos and captions: readers that yield records, and batches made of them."""
