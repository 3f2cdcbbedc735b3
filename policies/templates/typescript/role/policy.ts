// {{name}}: whoever holds this role may read everything, and change nothing.

import type { Manifest, Request, RoleVerdict } from "./.postern/policy";

export function describe(): Manifest {
  return {
    name: "{{name}}",
    version: "0.1.0",
    kind: "role",
    scopes: ["org", "app"],
    subjectKinds: ["service-user", "member", "group"],
    inputs: [],
  };
}

/** Tells whether the role grants what is asked for. */
export function decide(request: Request): RoleVerdict {
  return request.operation.permission.endsWith(".read") ? "allow" : "abstain";
}
