"""What scanners read in an image: the packages of what is kept."""
