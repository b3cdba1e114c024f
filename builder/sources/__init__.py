"""Full images: found by their names, verified, unpacked and kept."""
