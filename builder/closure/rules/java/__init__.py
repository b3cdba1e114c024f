"""What the files of a Java app imply."""
