"""The machine that slimtrace runs on: its limits, its programs, its users."""
