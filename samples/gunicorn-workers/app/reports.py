"""A report that is requested once a month."""

import csv
import io
from decimal import Decimal


def monthly() -> str:
    text = io.StringIO()
    csv.writer(text).writerow(["2024-07-01", Decimal("1.10")])
    return text.getvalue()
