"""What earlier runs read: the manifest, the store of splits, and what a run carries over from them."""
