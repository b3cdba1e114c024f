"""Makes an image from a trace and a full root. Never touches a live process."""
