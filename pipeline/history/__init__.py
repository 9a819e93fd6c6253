"""What earlier runs read."""
