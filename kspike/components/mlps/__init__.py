"""MLPs: what works on every token by itself. Each file is one, and is found as it lies here."""
