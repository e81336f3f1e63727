// Uses the generated types as a program would. The service's URL and a token are the arguments.
import createClient from "openapi-fetch";

import type { components, paths } from "./types.js";

declare const process: { argv: string[] };

const [baseUrl, token] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const key = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const params = { header: { "Idempotency-Key": key } };
const body = { handle: "ada", platform: "tiktok" as const };
const first = await client.POST("/api/admin/creators", { params, body });
const again = await client.POST("/api/admin/creators", { params, body });
const id: string | undefined = again.data?.creator_id;

const page = await client.GET("/api/admin/creators", { params: { query: { limit: 10 } } });
const creators: components["schemas"]["Creator"][] = page.data?.data ?? [];
const handles: (string | null)[] = creators.map((creator) => creator.handle);

const missing = await client.GET("/api/admin/creators/{creator_id}", {
  params: { path: { creator_id: key } },
});
// The type of a problem tells which one it is.
const problem = missing.error?.type === "/problems/not-found" ? missing.error.status : 0;

console.log(
  JSON.stringify({ same: id === first.data?.creator_id, handles, problem: problem satisfies 404 | 0 }),
);
