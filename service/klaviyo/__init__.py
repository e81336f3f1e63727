"""Klaviyo: keeping lists in step with segments, address by address, without touching consent."""
