"""Engines: what turns a prompt of token ids into a stream of token ids.

Knows tokens, devices and threads. Does not know documents, tokenizers or where models are kept.
"""
