"""Serves what the entrypoint prepared."""

import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Prepared(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        return "/tmp/app/greeting.conf"


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Prepared).serve_forever()
