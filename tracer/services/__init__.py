"""What the plugin of pytest does: services that tests start, and the trace that they leave."""
