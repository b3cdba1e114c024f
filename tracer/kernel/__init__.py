"""The only ctypes: thin wrappers of kernel calls, errno raised as OSError with its subject."""
