"""Turning weights from one layout into another, with the logits compared on the way.

Knows: CodeGen in the layouts of this project's JAX model, of Hugging Face and of CTranslate2.
Does not know: downloading, where models are kept (``models.store`` does), completing.

Installs as ``codegen_lsp.converters``; needs the extra ``convert`` or ``train`` for safetensors.
"""
