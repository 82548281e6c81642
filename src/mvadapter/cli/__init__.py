"""Arguments in, calls out: the only room that prints or exits."""
