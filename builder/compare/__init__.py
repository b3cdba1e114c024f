"""Whether a slim image answers as the full one does, also what no run asked."""
