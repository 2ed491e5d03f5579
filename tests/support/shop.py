"""A small shop's code, for tests of what is shown of other files."""

from __future__ import annotations

SETTINGS = '''\
"""Settings of the shop."""

import json
from dataclasses import dataclass

DEFAULT_CURRENCY = "EUR"


@dataclass
class ShopSettings:
    """What the owner of a shop decides."""

    currency: str
    tax_rate: float

    def with_tax(self, amount: float) -> float:
        """An amount and the tax on it."""
        return amount * (1 + self.tax_rate)

    def _secret_margin(self) -> float:
        return 0.3


def load_settings(path: str, *, strict: bool = False) -> ShopSettings:
    """Read settings.

    A longer explanation that nobody needs to complete code.
    """
    with open(path) as handle:
        data = json.load(handle)
    if strict and set(data) != {"currency", "tax_rate"}:
        raise ValueError(path)
    return ShopSettings(**data)


def unrelated_helper() -> None:
    print("nothing")
'''

INVOICES = '''\
import csv


def export_invoices(path, invoices):
    """Write invoices as CSV."""
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle, delimiter=";")
        writer.writerow(["number", "customer", "total"])
        for invoice in invoices:
            writer.writerow([invoice.number, invoice.customer, invoice.total])
    return path
'''

ORDERS = '''\
import csv


def export_orders(path, orders):
    """Write orders as CSV."""
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle, delimiter=";")
        ¦
'''

FILES = {
    "shop/__init__.py": "from shop.settings import load_settings\n",
    "shop/settings.py": SETTINGS,
    "shop/invoices.py": INVOICES,
    "README.md": "# Shop\n",
}
