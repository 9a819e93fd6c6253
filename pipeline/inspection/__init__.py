"""Questions about the published result, answered without changing anything."""
