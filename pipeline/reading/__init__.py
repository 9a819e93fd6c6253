"""Bytes of logs → verified rows."""
