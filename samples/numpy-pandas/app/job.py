"""Reports on one table, each in its own way."""

import sys

import numpy as np
import pandas as pd

TABLE = pd.DataFrame({"name": ["a", "b", "a"], "value": [1, 2, 3]})


def sums() -> str:
    found = TABLE.groupby("name")["value"].sum()
    return "\n".join(f"{name} {value}" for name, value in found.items())


def xml() -> str:
    return TABLE.to_xml(parser="etree", pretty_print=False)


def pretty() -> str:
    return TABLE.to_xml(parser="etree")


def zones() -> str:
    moment = pd.Timestamp("2024-07-01T00:00:00Z").tz_convert("Asia/Tokyo")
    return f"{moment} {np.roots([1, -3, 2])}"


print({"sums": sums, "xml": xml, "pretty": pretty, "zones": zones}[sys.argv[1]]())
