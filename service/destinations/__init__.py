"""Syncing segments to the lists of a destination, such as Klaviyo: all that they have in common."""
