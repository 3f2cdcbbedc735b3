// The contract of .postern/wit/policy.wit, as JavaScript sees it. A policy exports `describe` and `decide`.

/** What a subject is: a non-human user that cannot log in, a human, or a group of members. */
export type SubjectKind = "service-user" | "member" | "group";

/** The kinds of object on which a role can be held, or that a guard can be attached to. */
export type Scope = "org" | "app" | "env-type";

/** Something a policy may ask for beyond the subject and the operation; a header field by its name in lower case. */
export type Input =
  | { tag: "time" }
  | { tag: "source-address" }
  | { tag: "header"; val: string }
  | { tag: "query" }
  | { tag: "json-body" };

/** What a policy says of itself. */
export interface Manifest {
  /** A letter, then letters, digits and hyphens, 50 at most. */
  name: string;
  /** Semantic Versioning 2.0. */
  version: string;
  kind: "role" | "guard";
  /** Kinds of object at which the role may be bound, or the guard attached. */
  scopes: Scope[];
  /** Kinds of subject that the role may be bound to; of a guard: subjects whose requests it judges. */
  subjectKinds: SubjectKind[];
  inputs: Input[];
  /** JSON Schema of its settings, if it takes any. */
  settingsSchema?: string;
}

/** The role that the subject holds on an env type, if any. */
export interface EnvTypeRole {
  envType: string;
  role?: string;
}

/** Who asks. */
export interface Subject {
  id: string;
  kind: SubjectKind;
  /** The organisation that the subject belongs to. */
  org: string;
  /** Its role on the organisation that the operation is about. */
  orgRole?: string;
  /** Its role on the app that the operation is about. */
  appRole?: string;
  /** One element for each env type that the operation concerns. */
  envTypeRoles: EnvTypeRole[];
}

/** A parameter of the operation's path, or a header field. */
export interface Pair {
  name: string;
  value: string;
}

/** What is asked for. */
export interface Operation {
  /** Unique name: `getApplication`. */
  id: string;
  /** The permission that the operation needs: `app.read`. */
  permission: string;
  /** Method, upper case. */
  method: string;
  /** Path template: `/orgs/{orgId}/apps/{appId}`. */
  path: string;
  parameters: Pair[];
}

/** The inputs that the policy's manifest asks for; the others are empty. */
export interface Inputs {
  /** Milliseconds since the Unix epoch. */
  timeMs?: bigint;
  sourceAddress?: string;
  headers: Pair[];
  query?: string;
  jsonBody?: string;
}

/** All that a policy is told. */
export interface Request {
  subject: Subject;
  operation: Operation;
  inputs: Inputs;
  /** The settings it was attached with, as JSON. */
  settings?: string;
}

/** Answer of a role policy. */
export type RoleVerdict = "allow" | "abstain";

/** Answer of a guard policy; the caller is told the reason. */
export type GuardVerdict = { tag: "pass" } | { tag: "deny"; val: string };
