"""Promo codes for segments: asked for here, applied to Shopify by a run, updated by difference."""
