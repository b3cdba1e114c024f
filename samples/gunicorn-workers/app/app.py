"""A page, a report, and a request that kills the worker."""

import os
import signal

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "hello\n"


@app.get("/report")
def report() -> str:
    from reports import monthly

    return monthly()


@app.get("/die")
def die() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"
