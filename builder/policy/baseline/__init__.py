"""What every minimal image is expected to have, whether or not a run used it."""
