"""One recipe, many methods, one table: train each alike, measure all on the same queries."""
