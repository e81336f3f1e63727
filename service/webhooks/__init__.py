"""Webhooks: what a store tells us as it happens, received at once and worked through as jobs."""
