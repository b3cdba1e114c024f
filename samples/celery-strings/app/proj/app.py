"""The worker's app: all that it needs is named, and loaded when it is used."""

from celery import Celery

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
