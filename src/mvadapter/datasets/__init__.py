"""The published datasets: their annotation files in, one table of videos and captions out."""
