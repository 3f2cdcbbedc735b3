// Makes a role policy of what policy.ts exports: `manifest` and `allows`.

import { allows, manifest } from "../policy";
import { readRequest, writeManifest } from "./postern";

export { cabi_realloc } from "./postern";

export function describe(): usize {
  return writeManifest(manifest, 0);
}

export function decide(request: usize): i32 {
  return allows(readRequest(request)) ? 0 : 1;
}
