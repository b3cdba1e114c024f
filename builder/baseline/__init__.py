"""What any minimal image is expected to have, whether or not the runs touched it."""
