"""A guest book, stored in redis."""

import csv
import io
import os

from flask import Flask, Response, redirect, request
from redis import Redis

app = Flask(__name__)
store = Redis.from_url(os.environ.get("STORE", "redis://store:6379/0"), decode_responses=True)


@app.get("/healthz")
def healthz() -> str:
    return "well\n"


@app.get("/")
def guests() -> str:
    return "".join(f"{name}\n" for name in store.lrange("guests", 0, -1))


@app.post("/")
def sign() -> Response:
    store.rpush("guests", request.form["name"])
    return redirect("/", 303)


@app.get("/guests.csv")
def table() -> Response:
    text = io.StringIO()
    csv.writer(text).writerows(enumerate(store.lrange("guests", 0, -1), 1))
    return Response(text.getvalue(), mimetype="text/csv")
