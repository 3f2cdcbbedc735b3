// {{name}}: nothing is deleted without a ticket.
// @ts-check

/** @returns {import("./.postern/policy").Manifest} */
export function describe() {
  return {
    name: "{{name}}",
    version: "0.1.0",
    kind: "guard",
    scopes: ["org", "app"],
    subjectKinds: ["service-user", "member", "group"],
    inputs: [{ tag: "header", val: "x-change-ticket" }],
  };
}

/**
 * Tells whether the guard refuses what is asked for, with the reason that the caller is told.
 *
 * @param {import("./.postern/policy").Request} request
 * @returns {import("./.postern/policy").GuardVerdict}
 */
export function decide(request) {
  if (request.operation.method === "DELETE" && request.inputs.headers.length === 0) {
    return { tag: "deny", val: "deletions need a ticket: send the header x-change-ticket" };
  }
  return { tag: "pass" };
}
