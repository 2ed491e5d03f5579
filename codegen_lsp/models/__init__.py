"""Model folders: what there is, fetching it, where it is kept, and whether it is whole.

Knows files, repositories and facts about models. Does not know engines, tokenizers or weights:
who converts is handed in (``jobs.Convert``).
"""
