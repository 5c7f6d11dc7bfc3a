// Where `require` finds packages beyond the function's own: layers, then NODE_PATH as the
// user set it, then the packages of the runtime. (`import` knows no such paths, on AWS neither.)

import Module from 'node:module';
import path from 'node:path';

export function prepareModulePaths(settings, environment) {
  const major = process.versions.node.split('.')[0];
  const layers = (settings.LAMBDABOX_LAYER_PATHS ?? '/opt').split(path.delimiter).filter(Boolean);
  const entries = [
    ...layers.map((root) => path.join(root, 'nodejs', `node${major}`, 'node_modules')),
    ...layers.map((root) => path.join(root, 'nodejs', 'node_modules')),
    environment.NODE_PATH,
    settings.LAMBDABOX_RUNTIME_PACKAGES,
  ];
  environment.NODE_PATH = entries.filter(Boolean).join(path.delimiter);
  Module._initPaths(); // reads NODE_PATH again; the process has read it before this could set it
}
