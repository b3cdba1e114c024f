"""How an app is run in an image: configuration, options, mounts."""
