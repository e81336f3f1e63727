"""What commands import, for the process that they are forked from."""

import procrastinate
import psycopg
import psycopg_pool
import stamina

import service.builds.backfill
import service.cli.main
import service.klaviyo.destination
import service.privacy.requests
import service.promo_codes.apply
import service.shopify.metafield_sync
import service.shopify.sync
import service.worker.run_once
import service.worker.worker

__all__ = ["procrastinate", "psycopg", "psycopg_pool", "service", "stamina"]
