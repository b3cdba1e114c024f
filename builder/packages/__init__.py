"""Which package a file of the full image belongs to: of the OS, of Python, Node and Ruby."""
