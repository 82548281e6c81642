"""Small trainable values that stand at the sites of a frozen CLIP; a file per method."""
