"""Files between the phases."""
