"""``python -m codegen_lsp`` is ``codegen-lsp``."""

from __future__ import annotations

import sys

from codegen_lsp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
