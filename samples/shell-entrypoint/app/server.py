"""Serves the file that the entrypoint prepared."""

import os
import signal
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Prepared(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return "/tmp/app/greeting.conf"


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # threads may still run
PLACE = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))
ThreadingHTTPServer(PLACE, Prepared).serve_forever()
