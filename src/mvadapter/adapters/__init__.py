"""Small trainable modules at the sites of a frozen CLIP; one file per method."""
