"""Syncing segments with lists: what is the same for every destination, such as Klaviyo."""
