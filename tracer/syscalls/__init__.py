"""What each system call means to the tracer, for every ABI that the kernel runs here."""
