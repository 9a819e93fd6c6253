"""Realistic activity logs in any size, and the truth about them."""
