"""Whether a slim image does what the full one did: what it lacks, and what came out otherwise."""
