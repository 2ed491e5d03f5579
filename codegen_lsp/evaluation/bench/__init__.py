"""Speed on this machine: engines side by side (``bench engine``), typing (``bench typing``)."""
