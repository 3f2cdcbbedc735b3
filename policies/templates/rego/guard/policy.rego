# {{name}}: nothing is deleted without a ticket.
package postern

import rego.v1

manifest := {
	"name": "{{name}}",
	# The policy's version: raise it for each version that is published.
	"version": "0.1.0",
	"scopes": ["org", "app"],
	"subject_kinds": ["service-user", "member", "group"],
	"inputs": ["header:x-change-ticket"],
}

# The guard refuses what is asked for where any `deny` holds; the caller is told the reason.
deny contains "deletions need a ticket: send the header x-change-ticket" if {
	input.operation.method == "DELETE"
	not input.headers["x-change-ticket"]
}
