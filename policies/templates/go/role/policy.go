// {{name}}: whoever holds this role may read everything, and change nothing.
package main

import (
	"strings"

	"postern.example/policy"
)

func init() {
	policy.Role(policy.Manifest{
		Name:         "{{name}}",
		Version:      "0.1.0", // raise it for each version that is published
		Scopes:       []policy.Scope{policy.Org, policy.App},
		SubjectKinds: policy.AllSubjectKinds,
	}, allows)
}

// allows tells whether the role grants what is asked for.
func allows(request *policy.Request) bool {
	return strings.HasSuffix(request.Operation.Permission, ".read")
}

// main is never run: a policy only answers.
func main() {}
