// {{name}}: whoever holds this role may read everything, and change nothing.

import { Manifest, Request, Scope } from "./.postern/postern";

export const manifest = new Manifest("{{name}}", "0.1.0", [Scope.Org, Scope.App]);

/** Returns whether the role grants what is asked for. */
export function allows(request: Request): bool {
  return request.operation.permission.endsWith(".read");
}
