"""Incoming webhooks of Shopify: subscribed to, received, stored and processed."""
