"""An embedded store that finds rows by words and by vectors; what the rows are, it does not know."""
