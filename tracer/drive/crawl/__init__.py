"""What the answers of an app name on the same host, and the requests that follow it."""
