"""Bills of materials: an image's packages, their files in it, and those that were left out."""
