"""Turning weights from one layout into another, with the logits compared on the way.

Knows: the checkpoints of CodeGen and its kin as Hugging Face, JAXFORMER and CTranslate2 keep them,
and what CTranslate2, llama.cpp, Phi and GPT-J read. ``pipeline`` is the way through.
Does not know: downloading, where models are kept (``models``), completing.

Installs as ``codegen_lsp.converters``. Nothing here needs torch or transformers; where they are
installed they are a second judge (``verify``) and read checkpoints of before 2020 (``pickled``).
"""
