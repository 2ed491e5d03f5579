"""One module per LSP request (or family of notifications); ``server.FEATURES`` lists them.

A feature translates: it takes what it needs from the message at dispatch, calls a service, and
puts the answer into LSP's words. Decisions are made elsewhere.
"""
