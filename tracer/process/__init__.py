"""What the kernel says of a process: /proc/PID, and paths in its root."""
