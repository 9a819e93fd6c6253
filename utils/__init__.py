"""Helpers that know nothing of the domain and import nothing from the project."""
