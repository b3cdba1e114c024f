"""Tasks by Celery, with folders for a broker."""
