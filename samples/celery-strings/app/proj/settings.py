"""What Celery reads, and which handler does what."""

import os

QUEUE = "/tmp/queue"
RESULTS = "/tmp/results"
for folder in (QUEUE, RESULTS):
    os.makedirs(folder, exist_ok=True)

broker_url = "filesystem://"
broker_transport_options = {"data_folder_in": QUEUE, "data_folder_out": QUEUE}
result_backend = f"file://{RESULTS}"

HANDLERS = {"add": "proj.handlers.adding:add", "multiply": "proj.handlers.multiplying:multiply"}
