"""Spiking neurons. Each file is one, and is found as it lies here."""
