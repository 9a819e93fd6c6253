"""IP address → region, vectorised, IPv4 and IPv6."""

from pipeline.geo.table import INVALID, PRIVATE, UNKNOWN, GeoLevel, GeoSource, GeoTable, load_geo_table

__all__ = ["INVALID", "PRIVATE", "UNKNOWN", "GeoLevel", "GeoSource", "GeoTable", "load_geo_table"]
