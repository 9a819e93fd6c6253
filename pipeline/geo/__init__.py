"""IP address → region, vectorised, IPv4 and IPv6."""
