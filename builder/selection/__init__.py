"""From a trace to the paths that the image keeps."""
