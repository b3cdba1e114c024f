"""The worker's app: it names modules by strings, and Celery loads them on first use."""

from celery import Celery

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
