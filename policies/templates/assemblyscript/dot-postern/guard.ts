// Makes a guard policy of what policy.ts exports: `manifest` and `objection`.

import { manifest, objection } from "../policy";
import { readRequest, writeManifest, writeVerdict } from "./postern";

export { cabi_realloc } from "./postern";

export function describe(): usize {
  return writeManifest(manifest, 1);
}

export function decide(request: usize): usize {
  return writeVerdict(objection(readRequest(request)));
}
