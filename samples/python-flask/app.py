"""A greeting over HTTP: a small real web app to trace."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.get("/")
def greet() -> Response:
    """A greeting to ``?name=`` (the world), with the time in ``?zone=`` (UTC)."""
    zone = zoneinfo.ZoneInfo(request.args.get("zone", "UTC"))
    name = request.args.get("name", "world")
    now = dt.datetime.now(zone).isoformat(timespec="seconds")
    return jsonify(greeting=f"Hello, {name}!", time=now)


@app.get("/healthz")
def healthz() -> Response:
    """For health checks."""
    return jsonify(status="ok")
