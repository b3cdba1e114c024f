"""The files that a Java app's files imply."""
