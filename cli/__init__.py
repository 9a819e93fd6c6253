"""One small file per command: arguments and printing only."""
