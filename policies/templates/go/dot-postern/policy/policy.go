// Package policy is what a Postern policy in Go needs: the contract of .postern/wit/policy.wit as Go types, and Role and
// Guard, of which an init function calls one.
//
// An instance answers one request and is thrown away with its memory. It has no clock, no files and no network: what Go's
// library would ask of a system shows it nothing.
package policy

// SubjectKind is what a subject is.
type SubjectKind uint8

const (
	ServiceUser SubjectKind = iota
	Member
	Group
)

// AllSubjectKinds are all there are.
var AllSubjectKinds = []SubjectKind{ServiceUser, Member, Group}

// Scope is a kind of object on which a role can be held, or that a guard can be attached to.
type Scope uint8

const (
	Org Scope = iota
	App
	EnvType
)

// Input is something that a policy may ask for beyond the subject and the operation: one of the variables below, or what
// HeaderInput returns.
type Input struct {
	kind   uint8
	header string
}

var (
	TimeInput          = Input{kind: 0}
	SourceAddressInput = Input{kind: 1}
	QueryInput         = Input{kind: 3}
	JSONBodyInput      = Input{kind: 4}
)

// HeaderInput is a header field, by its name in lower case.
func HeaderInput(name string) Input { return Input{kind: 2, header: name} }

// Manifest is what a policy says of itself.
type Manifest struct {
	Name         string // a letter, then letters, digits and hyphens, 50 at most
	Version      string // Semantic Versioning 2.0
	Scopes       []Scope
	SubjectKinds []SubjectKind
	Inputs       []Input
	// SettingsSchema is the JSON Schema of its settings; empty if it takes none.
	SettingsSchema string
}

// Subject is who asks. What may be absent is nil then.
type Subject struct {
	ID           string
	Kind         SubjectKind
	Org          string
	OrgRole      *string
	AppRole      *string
	EnvTypeRoles []EnvTypeRole
}

// EnvTypeRole is the role that the subject holds on an env type that the operation concerns, if any.
type EnvTypeRole struct {
	EnvType string
	Role    *string
}

// Pair is a parameter of the operation's path, or a header field.
type Pair struct{ Name, Value string }

// Operation is what is asked for.
type Operation struct {
	ID         string // getApplication
	Permission string // app.read
	Method     string // GET
	Path       string // /orgs/{orgId}/apps/{appId}
	Parameters []Pair
}

// Inputs are those that the policy asks for; the others are nil.
type Inputs struct {
	TimeMS        *uint64 // milliseconds since the Unix epoch
	SourceAddress *string
	Headers       []Pair
	Query         *string
	JSONBody      *string
}

// Request is all that a policy is told.
type Request struct {
	Subject   Subject
	Operation Operation
	Inputs    Inputs
	// Settings are those that it was published or attached with, as JSON; nil without.
	Settings *string
}

// Parameter returns the decoded value of a parameter of the operation's path.
func (r *Request) Parameter(name string) (value string, there bool) {
	return find(r.Operation.Parameters, name)
}

// Header returns the value of a header field that the policy asked for, by its name in lower case; of one that came more
// than once, the first.
func (r *Request) Header(name string) (value string, there bool) {
	return find(r.Inputs.Headers, name)
}

// Role makes the program a policy that grants what allows returns true for.
func Role(manifest Manifest, allows func(*Request) bool) {
	said, decided = encoded(manifest, 0), func(r *Request) uint32 {
		if allows(r) {
			return 0
		}
		return 1
	}
}

// Guard makes the program a policy that refuses what objection returns a reason for; the caller is told it.
func Guard(manifest Manifest, objection func(*Request) string) {
	said, decided = encoded(manifest, 1), func(r *Request) uint32 {
		reason := objection(r)
		verdict := newRecord(12, 4)
		if reason != "" {
			verdict.word(0, 1)
			verdict.text(4, reason)
		}
		return verdict.address()
	}
}

func find(pairs []Pair, name string) (string, bool) {
	for _, pair := range pairs {
		if pair.Name == name {
			return pair.Value, true
		}
	}
	return "", false
}
