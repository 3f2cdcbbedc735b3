// {{name}}: nothing is deleted without a ticket.
package main

import "postern.example/policy"

func init() {
	policy.Guard(policy.Manifest{
		Name:         "{{name}}",
		Version:      "0.1.0", // raise it for each version that is published
		Scopes:       []policy.Scope{policy.Org, policy.App},
		SubjectKinds: policy.AllSubjectKinds,
		Inputs:       []policy.Input{policy.HeaderInput("x-change-ticket")},
	}, objection)
}

// objection returns the reason to refuse, which the caller is told, or "" when there is none.
func objection(request *policy.Request) string {
	if _, there := request.Header("x-change-ticket"); request.Operation.Method == "DELETE" && !there {
		return "deletions need a ticket: send the header x-change-ticket"
	}
	return ""
}

// main is never run: a policy only answers.
func main() {}
