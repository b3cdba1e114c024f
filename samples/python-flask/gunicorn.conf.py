"""gunicorn's settings for platforms that run containers."""

import os

# Knative, Cloud Run and Heroku set PORT; HOST=127.0.0.1 makes it local.
bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}"
workers = 2
# For the workers' heartbeat files: in memory, and writable though the root is read-only.
worker_tmp_dir = "/dev/shm"
# SIGTERM lets requests finish for this many seconds.
graceful_timeout = 5
