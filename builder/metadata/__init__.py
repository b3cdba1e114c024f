"""What scanners read in an image: which distribution it is of, and the packages of what is kept."""
