"""A site of two pages and one for all the others."""

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
    from pages import lost  # errors are rare: why pay at every start

    return lost.page(request.path, [rule.rule for rule in app.url_map.iter_rules()]), 404


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # whatever threads are at
    app.run(os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))
