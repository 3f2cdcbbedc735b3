// What a Postern policy in AssemblyScript needs: the contract of .postern/wit/policy.wit as classes, and the reading and
// writing of them as the canonical ABI of WebAssembly components lays them out in memory.
//
// An instance answers one request and is thrown away with its memory, so nothing is ever freed.

/** What a subject is. */
export enum SubjectKind {
  /** A non-human user that cannot log in. */
  ServiceUser,
  /** A human. */
  Member,
  /** A group of members. */
  Group,
}

/** The kinds of object on which a role can be held, or that a guard can be attached to. */
export enum Scope {
  Org,
  App,
  EnvType,
}

/** Something a policy may ask for beyond the subject and the operation. */
export class Input {
  private constructor(
    readonly kind: u8,
    readonly header: string = "",
  ) {}

  /** The time of the request. */
  static time(): Input {
    return new Input(0);
  }
  /** The network address that the request came from. */
  static sourceAddress(): Input {
    return new Input(1);
  }
  /** A header field, by its name in lower case. */
  static header(name: string): Input {
    return new Input(2, name);
  }
  /** The query component of the request target. */
  static query(): Input {
    return new Input(3);
  }
  /** The request's JSON body. */
  static jsonBody(): Input {
    return new Input(4);
  }
}

/** What a policy says of itself. */
export class Manifest {
  /** Kinds of subject that the role may be bound to; of a guard: subjects whose requests it judges. */
  subjectKinds: SubjectKind[] = [SubjectKind.ServiceUser, SubjectKind.Member, SubjectKind.Group];
  inputs: Input[] = [];
  /** JSON Schema of its settings, if it takes any. */
  settingsSchema: string | null = null;

  constructor(
    /** A letter, then letters, digits and hyphens, 50 at most. */
    readonly name: string,
    /** Semantic Versioning 2.0. */
    readonly version: string,
    /** Kinds of object at which the role may be bound, or the guard attached. */
    readonly scopes: Scope[],
  ) {}
}

/** The role that the subject holds on an env type, if any. */
export class EnvTypeRole {
  constructor(
    readonly envType: string,
    readonly role: string | null,
  ) {}
}

/** Who asks. */
export class Subject {
  constructor(
    readonly id: string,
    readonly kind: SubjectKind,
    readonly org: string,
    readonly orgRole: string | null,
    readonly appRole: string | null,
    readonly envTypeRoles: EnvTypeRole[],
  ) {}
}

/** A parameter of the operation's path, or a header field. */
export class Pair {
  constructor(
    readonly name: string,
    readonly value: string,
  ) {}
}

/** What is asked for. */
export class Operation {
  constructor(
    /** Unique name: `getApplication`. */
    readonly id: string,
    /** The permission that the operation needs: `app.read`. */
    readonly permission: string,
    /** Method, upper case. */
    readonly method: string,
    /** Path template: `/orgs/{orgId}/apps/{appId}`. */
    readonly path: string,
    readonly parameters: Pair[],
  ) {}
}

/** The inputs that the policy asks for; the others are empty. */
export class Inputs {
  constructor(
    /** Milliseconds since the Unix epoch; 0 unless asked for. */
    readonly timeMs: u64,
    readonly sourceAddress: string | null,
    readonly headers: Pair[],
    readonly query: string | null,
    readonly jsonBody: string | null,
  ) {}
}

/** All that a policy is told. */
export class Request {
  constructor(
    readonly subject: Subject,
    readonly operation: Operation,
    readonly inputs: Inputs,
    /** The settings it was attached with, as JSON. */
    readonly settings: string | null,
  ) {}

  /** Returns the decoded value of a parameter of the operation's path. */
  parameter(name: string): string | null {
    return find(this.operation.parameters, name);
  }

  /** Returns the value of a header field that the policy asked for, by its name in lower case. */
  header(name: string): string | null {
    return find(this.inputs.headers, name);
  }
}

function find(pairs: Pair[], name: string): string | null {
  for (let at = 0; at < pairs.length; at++) {
    if (pairs[at].name == name) return pairs[at].value;
  }
  return null;
}

/** Gives the host a place to write to. */
export function cabi_realloc(old: usize, oldSize: usize, _align: usize, newSize: usize): usize {
  // The heap aligns every piece to 16 bytes, which is more than the contract ever asks for.
  const place = heap.alloc(newSize);
  if (oldSize) memory.copy(place, old, min(oldSize, newSize));
  return place;
}

/** Reads a request where the host has put it. */
export function readRequest(at: usize): Request {
  const kind: SubjectKind = load<u8>(at + 8);
  const subject = new Subject(
    text(at), kind, text(at + 12), optionalText(at + 20), optionalText(at + 32), envTypeRoles(at + 44),
  );
  const operation = new Operation(text(at + 52), text(at + 60), text(at + 68), text(at + 76), pairs(at + 84));
  const inputs = new Inputs(
    load<u8>(at + 96) ? load<u64>(at + 104) : 0,
    optionalText(at + 112), pairs(at + 124), optionalText(at + 132), optionalText(at + 144),
  );
  return new Request(subject, operation, inputs, optionalText(at + 160));
}

/** Writes a manifest for the host to read; returns where. `kind`: 0 for a role, 1 for a guard. */
export function writeManifest(manifest: Manifest, kind: u8): usize {
  const place = heap.alloc(56);
  writeText(place, manifest.name);
  writeText(place + 8, manifest.version);
  store<u8>(place + 16, kind);
  writeBytes(place + 20, manifest.scopes);
  writeBytes(place + 28, manifest.subjectKinds);
  const inputs = manifest.inputs;
  const list = heap.alloc(inputs.length * 12);
  for (let index = 0; index < inputs.length; index++) {
    store<u8>(list + index * 12, inputs[index].kind);
    writeText(list + index * 12 + 4, inputs[index].header);
  }
  store<usize>(place + 36, list);
  store<u32>(place + 40, inputs.length);
  writeOptionalText(place + 44, manifest.settingsSchema);
  return place;
}

/** Writes a guard's verdict for the host to read; returns where. */
export function writeVerdict(objection: string | null): usize {
  const place = heap.alloc(12);
  writeOptionalText(place, objection);
  return place;
}

function text(at: usize): string {
  return String.UTF8.decodeUnsafe(load<usize>(at), load<u32>(at + 4));
}

function optionalText(at: usize): string | null {
  return load<u8>(at) ? text(at + 4) : null;
}

function pairs(at: usize): Pair[] {
  const list = load<usize>(at);
  const count = load<i32>(at + 4);
  const read = new Array<Pair>(count);
  for (let index = 0; index < count; index++) {
    read[index] = new Pair(text(list + index * 16), text(list + index * 16 + 8));
  }
  return read;
}

function envTypeRoles(at: usize): EnvTypeRole[] {
  const list = load<usize>(at);
  const count = load<i32>(at + 4);
  const read = new Array<EnvTypeRole>(count);
  for (let index = 0; index < count; index++) {
    read[index] = new EnvTypeRole(text(list + index * 20), optionalText(list + index * 20 + 8));
  }
  return read;
}

function writeText(place: usize, value: string): void {
  const length = String.UTF8.byteLength(value);
  const bytes = heap.alloc(length);
  String.UTF8.encodeUnsafe(changetype<usize>(value), value.length, bytes);
  store<usize>(place, bytes);
  store<u32>(place + 4, length);
}

function writeOptionalText(place: usize, value: string | null): void {
  store<u8>(place, value === null ? 0 : 1);
  if (value !== null) writeText(place + 4, value);
}

function writeBytes<T>(place: usize, values: T[]): void {
  const bytes = heap.alloc(values.length);
  for (let index = 0; index < values.length; index++) store<u8>(bytes + index, <u8>values[index]);
  store<usize>(place, bytes);
  store<u32>(place + 4, values.length);
}
