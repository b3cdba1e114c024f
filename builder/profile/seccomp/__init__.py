"""The seccomp profile of an app."""
