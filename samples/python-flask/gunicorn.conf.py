"""gunicorn's settings, as platforms that run containers want them."""

import os

# PORT is what Knative, Cloud Run and Heroku set; HOST=127.0.0.1 keeps it to this machine.
bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8080')}"
workers = 2
# The workers' heartbeat files: memory, and the one place that stays writable in a read-only root.
worker_tmp_dir = "/dev/shm"
# SIGTERM lets requests finish for this many seconds.
graceful_timeout = 5
