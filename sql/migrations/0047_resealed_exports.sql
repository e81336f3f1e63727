-- Rotating the encryption keys seals the answers to data requests again, too.

grant update (sealed_document, key_id) on app.privacy_exports to quintile_app;
