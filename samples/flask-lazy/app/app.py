"""A site with two pages and an error page."""

import os
import signal

from flask import Flask, render_template, request

app = Flask(__name__)


@app.get("/")
@app.get("/hello")
def hello() -> str:
    return render_template("hello.html", name=request.args.get("name", "world"))


@app.errorhandler(404)
def lost(_: Exception) -> tuple[str, int]:
    from pages import lost  # errors are rare, so that the start need not import it

    return lost.page(request.path, [rule.rule for rule in app.url_map.iter_rules()]), 404


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # threads may still run
    app.run(os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))
