"""Model folders: what is in one, where they are kept, and whether one is whole.

Knows files only. Does not know engines, tokenizers or downloads.
"""
