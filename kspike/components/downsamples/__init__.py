"""Downsamplings: what stands between two stages. Each file is one, and is found as it lies here."""
