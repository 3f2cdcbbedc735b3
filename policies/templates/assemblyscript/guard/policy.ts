// {{name}}: nothing is deleted without a ticket.

import { Input, Manifest, Request, Scope } from "./.postern/postern";

export const manifest = new Manifest("{{name}}", "0.1.0", [Scope.Org, Scope.App]);
manifest.inputs = [Input.header("x-change-ticket")];

/** Returns the reason to refuse, which the caller is told, or null. */
export function objection(request: Request): string | null {
  if (request.operation.method == "DELETE" && request.header("x-change-ticket") === null) {
    return "deletions need a ticket: send the header x-change-ticket";
  }
  return null;
}
