"""Celery's settings, and the handler of each operation."""

import os

QUEUE = "/tmp/queue"
RESULTS = "/tmp/results"
for folder in (QUEUE, RESULTS):
    os.makedirs(folder, exist_ok=True)

broker_url = "filesystem://"
broker_transport_options = {"data_folder_in": QUEUE, "data_folder_out": QUEUE}
result_backend = f"file://{RESULTS}"

HANDLERS = {
    "add": "proj.handlers.addition:add",
    "multiply": "proj.handlers.multiplication:multiply",
}
