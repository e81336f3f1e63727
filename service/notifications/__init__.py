"""Outgoing webhooks: endpoints, the events that they receive, and their delivery."""
