"""What a slim image is likely to lack: neither touched nor implied, but pointed at."""
