"""Segments of every source: RFM, Shopify's own, and lists pulled from Klaviyo."""
