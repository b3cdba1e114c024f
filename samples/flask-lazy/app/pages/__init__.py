"""Pages that are seldom seen."""
