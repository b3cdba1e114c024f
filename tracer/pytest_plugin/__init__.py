"""The pytest plugin: services that tests start, traced."""
