"""A version: its files, quarantine, record and report."""
