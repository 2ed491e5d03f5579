"""Prompts: a family's tokenizer and format."""
