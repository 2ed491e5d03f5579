"""Completing: what is asked of the engine, when its answer is whole, and how it is tidied.

Knows no LSP: offsets into snapshots come in, a replacement of text goes out.
"""
