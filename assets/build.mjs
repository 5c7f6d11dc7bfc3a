// Bundle what the console's pages load from npm packages, with the licences of what is in it.
//
// The result is committed and shipped in the wheel: neither installing lambdabox nor running it
// needs npm, and no page ever asks another machine for anything.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "../src/lambdabox/console/static/vendor");

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
const result = await build({
  entryPoints: { editor: join(here, "editor.js"), charts: join(here, "charts.js") },
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none", // LICENSES has all of them
  metafile: true,
});
await copyFile(join(here, "node_modules/htmx.org/dist/htmx.min.js"), join(target, "htmx.js"));
await copyFile(join(here, "node_modules/uplot/dist/uPlot.min.css"), join(target, "charts.css"));

const packages = new Set(["htmx.org"]);
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) packages.add(found[1]);
}
const parts = [];
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[sc]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = (await readFile(join(folder, file), "utf8")).trim();
  parts.push(`${name} ${version} (${license})\n\n${text}\n`);
}
await writeFile(join(target, "LICENSES"), parts.join(`\n${"-".repeat(80)}\n\n`));
