// Builds the page: node build.mjs PROGRAM.wasm FOLDER. Writes a static folder that needs nothing but a file server.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const [program, folder] = process.argv.slice(2);
const read = (path) => readFileSync(join(root, path), "utf8");

/** Texts of the repository that are part of the bundle. */
const virtual = {
  "virtual:examples": () => {
    const names = readdirSync(join(root, "envoy/examples")).filter((name) => name.endsWith(".yaml")).sort();
    const paths = ["envoy/divvy.yaml", ...names.map((name) => `envoy/examples/${name}`), "istio/base/plugin.yaml"];
    const list = paths.map((path) => ({ name: path.replace(/^envoy\/(examples\/)?/, ""), text: read(path) }));
    return `export default ${JSON.stringify(list)};`;
  },
  "virtual:schema": () => `export default ${JSON.stringify(JSON.parse(read("envoy/divvy.schema.json")))};`,
  // The colours of the plots.
  "virtual:palette": () => {
    const source = read("src/cli/src/palette.rs");
    const colours = [...source.matchAll(/RGBColor\((\d+), (\d+), (\d+)\)/g)].map((found) => `rgb(${found.slice(1).join(", ")})`);
    if (colours.length !== 6) throw new Error(`palette.rs has ${colours.length} colours, not 5 versions and failures`);
    return `export const VERSIONS = ${JSON.stringify(colours.slice(0, 5))}; export const FAILURE = ${JSON.stringify(colours[5])};`;
  },
};

const texts = {
  name: "texts",
  setup(builder) {
    builder.onResolve({ filter: /^virtual:/ }, ({ path }) => ({ path, namespace: "texts" }));
    builder.onLoad({ filter: /.*/, namespace: "texts" }, ({ path }) => ({ contents: virtual[path](), loader: "js" }));
  },
};

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: { main: "src/main.tsx", worker: "src/worker.ts" },
  outdir: folder,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  metafile: true,
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  plugins: [texts],
  // With it, CodeMirror parses for up to 100 ms without a pause, as long as no key is pressed; without it, at most 45 ms.
  define: { "navigator.scheduling": "undefined" },
});
for (const name of ["index.html", "style.css"]) copyFileSync(join(here, name), join(folder, name));
copyFileSync(program, join(folder, "page.wasm"));

// The licences of everything in the bundle; those of the crates are beside the command line.
const packages = new Set(Object.keys(result.metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []));
const notices = [...packages].sort().map((name) => {
  const place = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
  const file = readdirSync(place).find((file) => /^licen[cs]e/i.test(file));
  if (file === undefined) throw new Error(`${name} has no licence file`);
  return `${name} ${version}, ${license}\n\n${readFileSync(join(place, file), "utf8").trim()}\n`;
});
const rule = `\n${"=".repeat(80)}\n\n`;
writeFileSync(join(folder, "THIRD-PARTY.txt"), [...notices, read("src/cli/THIRD-PARTY.txt")].join(rule));
