"""The team's server on one machine: OpenAI's ``/v1/completions`` from a model in this process.

``serving`` starts it, ``app`` is what it answers to, ``batching`` has the model compute several
answers at a time. Its libraries (Starlette, uvicorn, prometheus-client) are the extra ``[team]``.
"""
