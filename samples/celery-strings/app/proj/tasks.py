"""One task for all operations."""

from celery.utils.imports import symbol_by_name

from proj.app import app
from proj.settings import HANDLERS


@app.task
def calculate(operation: str, left: int, right: int) -> int:
    return symbol_by_name(HANDLERS[operation])(left, right)
