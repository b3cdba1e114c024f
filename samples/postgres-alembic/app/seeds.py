"""The rows that the second migration inserts."""

import csv
import io

TEXT = "de,Germany\njp,Japan\n"
COUNTRIES = tuple(csv.reader(io.StringIO(TEXT)))
