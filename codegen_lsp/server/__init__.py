"""The language server: the only layer that knows LSP, lines and UTF-16."""
