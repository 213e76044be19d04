// What the tests share: the built page behind a file server, Chromium, and modules of the page in Node.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const PAGE = process.env.DIVVY_PAGE ?? join(ROOT, "target/page");
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };

/** Serves the page; counts the bytes that a server with gzip would send (`sent`), and knows what it does not have (`missed`). */
export async function serve() {
  const sent = new Map();
  const missed = [];
  const server = createServer(async (request, response) => {
    const name = normalize(new URL(request.url, "http://page").pathname).replace(/^\/+/, "") || "index.html";
    try {
      const bytes = await readFile(join(PAGE, name));
      sent.set(name, gzipSync(bytes).length);
      response.writeHead(200, {
        "content-type": KINDS[extname(name)] ?? "application/octet-stream",
        "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; worker-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
      });
      response.end(bytes);
    } catch {
      missed.push(name);
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { address: `http://127.0.0.1:${server.address().port}/`, sent, missed, close: () => server.close() };
}

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A module of the page, bundled for Node. */
export async function load(path) {
  const virtual = {
    name: "virtual",
    setup(builder) {
      builder.onResolve({ filter: /^virtual:/ }, ({ path }) => ({ path, namespace: "virtual" }));
      builder.onLoad({ filter: /virtual:schema/, namespace: "virtual" }, async () => ({
        contents: await readFile(join(ROOT, "envoy/divvy.schema.json"), "utf8"), loader: "json",
      }));
    },
  };
  const result = await build({
    absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
    entryPoints: [path], bundle: true, format: "esm", platform: "node", write: false, plugins: [virtual],
  });
  return import(`data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString("base64")}`);
}

/** The program of the page, compiled. */
export async function program() {
  return WebAssembly.compile(await readFile(join(PAGE, "page.wasm")));
}
