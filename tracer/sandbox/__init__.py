"""The sandbox in which an app runs when --image names an image: its mounts, user and process 1."""
