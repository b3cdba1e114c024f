"""A site whose sections bring their templates, as Django's apps do."""

import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, TemplateNotFound

HERE = os.path.dirname(os.path.abspath(__file__))


def template_folders(top: str) -> list[str]:
    return sorted(folder for folder, _, _ in os.walk(top) if folder.endswith("/templates"))


FOLDERS = template_folders(os.path.join(HERE, "sections"))
PAGES = Environment(
    loader=ChoiceLoader([FileSystemLoader(folder) for folder in FOLDERS]), autoescape=True
)
NAMES = PAGES.list_templates()


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/")
        try:
            page = PAGES.get_template(name).render(count=2) if name else "\n".join(NAMES)
            status = 200
        except TemplateNotFound as error:
            page, status = f"no template {error}", 404
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # threads may still run
PLACE = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))
ThreadingHTTPServer(PLACE, Site).serve_forever()
