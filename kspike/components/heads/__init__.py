"""Heads: what stands between the last block and the linear layer. Each file is one, and is found as it lies here."""
