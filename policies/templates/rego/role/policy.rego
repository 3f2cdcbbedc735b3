# {{name}}: whoever holds this role may read everything, and change nothing.
package postern

import rego.v1

manifest := {
	"name": "{{name}}",
	# The policy's version: raise it for each version that is published.
	"version": "0.1.0",
	"scopes": ["org", "app"],
	"subject_kinds": ["service-user", "member", "group"],
}

# The role grants what is asked for where any `allow` holds.
allow if endswith(input.operation.permission, ".read")
