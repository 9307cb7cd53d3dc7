"""Stems: what turns images into tokens. Each file is one, and is found as it lies here."""
