"""Videos in, a folder out that can be searched for moments."""
