"""What becomes of a conflict: resolutions, what they would do, and how a conflict is shown."""
