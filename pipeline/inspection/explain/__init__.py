"""Why the result is what it is: the copies of one record, and the events of one user."""
