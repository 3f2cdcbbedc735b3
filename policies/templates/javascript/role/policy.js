// {{name}}: whoever holds this role may read everything, and change nothing.
// @ts-check

/** @returns {import("./.postern/policy").Manifest} */
export function describe() {
  return {
    name: "{{name}}",
    version: "0.1.0",
    kind: "role",
    scopes: ["org", "app"],
    subjectKinds: ["service-user", "member", "group"],
    inputs: [],
  };
}

/**
 * Tells whether the role grants what is asked for.
 *
 * @param {import("./.postern/policy").Request} request
 * @returns {import("./.postern/policy").RoleVerdict}
 */
export function decide(request) {
  return request.operation.permission.endsWith(".read") ? "allow" : "abstain";
}
