"""Published versions, the link to the current one, and locks."""
