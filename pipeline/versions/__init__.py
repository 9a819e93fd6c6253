"""Published versions: their folders, the link to the current one, their records, and locks."""
