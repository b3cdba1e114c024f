"""The engine ``notify``: seccomp user notification (seccomp_unotify(2))."""
