"""Command line of the page cache."""

import argparse
import sys

from cache import PageCache


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="where the pages are kept")
    parser.add_argument("--limit", type=int, default=100)
    args =
