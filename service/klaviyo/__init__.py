"""Klaviyo as a destination: syncs lists with segments without changing anyone's consent."""
