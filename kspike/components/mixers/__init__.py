"""Mixers: what stands before the MLP of a block. Each file is one, and is found as it lies here."""
