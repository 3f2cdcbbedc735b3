/* What a Postern policy in C needs: the contract of .postern/wit/policy.wit as C structs, helpers for strings, and two
 * macros that export the policy. One file, no library: a policy has no libc, no clock, no files, no network.
 *
 * The structs are laid out as the canonical ABI of WebAssembly components lays out the contract's records in 32-bit
 * memory, which is how C lays them out too; the assertions below hold the compiler to it.
 *
 * An instance answers one request and is thrown away with its memory, so nothing is ever freed. Everything that a request
 * points to lives as long as the instance.
 */
#ifndef POSTERN_POLICY_H
#define POSTERN_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text in UTF-8, not ended by a zero. */
typedef struct {
    const char *at;
    uint32_t length;
} postern_text;

/* Text that may be absent. */
typedef struct {
    bool is_some;
    postern_text value;
} postern_optional_text;

/* What a subject is. */
enum { POSTERN_SERVICE_USER, POSTERN_MEMBER, POSTERN_GROUP };

/* The kinds of object on which a role can be held, or that a guard can be attached to. */
enum { POSTERN_ORG, POSTERN_APP, POSTERN_ENV_TYPE };

/* Something a policy may ask for beyond the subject and the operation. */
typedef struct {
    enum { POSTERN_TIME, POSTERN_SOURCE_ADDRESS, POSTERN_HEADER, POSTERN_QUERY, POSTERN_JSON_BODY } kind : 8;
    postern_text header; /* of POSTERN_HEADER: the field's name in lower case */
} postern_input;

/* The role that the subject holds on an env type, if any. */
typedef struct {
    postern_text env_type;
    postern_optional_text role;
} postern_env_type_role;

/* Who asks. */
typedef struct {
    postern_text id;
    uint8_t kind; /* POSTERN_SERVICE_USER, POSTERN_MEMBER or POSTERN_GROUP */
    postern_text org;
    postern_optional_text org_role;
    postern_optional_text app_role;
    const postern_env_type_role *env_type_roles;
    uint32_t env_type_roles_count;
} postern_subject;

/* A parameter of the operation's path, or a header field. */
typedef struct {
    postern_text name;
    postern_text value;
} postern_pair;

/* What is asked for. */
typedef struct {
    postern_text id;         /* getApplication */
    postern_text permission; /* app.read */
    postern_text method;     /* GET */
    postern_text path;       /* /orgs/{orgId}/apps/{appId} */
    const postern_pair *parameters;
    uint32_t parameters_count;
} postern_operation;

/* The inputs that the policy asks for; the others are empty. */
typedef struct {
    struct {
        bool is_some;
        uint64_t value; /* milliseconds since the Unix epoch */
    } time_ms;
    postern_optional_text source_address;
    const postern_pair *headers;
    uint32_t headers_count;
    postern_optional_text query;
    postern_optional_text json_body;
} postern_inputs;

/* All that a policy is told. */
typedef struct {
    postern_subject subject;
    postern_operation operation;
    postern_inputs inputs;
    postern_optional_text settings; /* JSON */
} postern_request;

/* What a policy says of itself. POSTERN_ROLE and POSTERN_GUARD fill in `kind`. */
typedef struct {
    postern_text name;    /* a letter, then letters, digits and hyphens, 50 at most */
    postern_text version; /* Semantic Versioning 2.0 */
    uint8_t kind;
    const uint8_t *scopes;
    uint32_t scopes_count;
    const uint8_t *subject_kinds;
    uint32_t subject_kinds_count;
    const postern_input *inputs;
    uint32_t inputs_count;
    postern_optional_text settings_schema; /* JSON Schema of its settings, if it takes any */
} postern_manifest;

_Static_assert(sizeof(postern_optional_text) == 12 && sizeof(postern_input) == 12, "layout of the canonical ABI");
_Static_assert(offsetof(postern_subject, env_type_roles) == 44, "layout of the canonical ABI");
_Static_assert(offsetof(postern_request, inputs) == 96 && sizeof(postern_inputs) == 64, "layout of the canonical ABI");
_Static_assert(offsetof(postern_manifest, settings_schema) == 44, "layout of the canonical ABI");

/* Makes a postern_text of a string literal. */
#define POSTERN_TEXT(literal) ((postern_text){(literal), sizeof(literal) - 1})

/* Constants for the initialiser of a postern_manifest:
 *     POSTERN_SCOPES(POSTERN_ORG, POSTERN_APP), POSTERN_SUBJECT_KINDS(POSTERN_SERVICE_USER),
 *     POSTERN_INPUTS({POSTERN_HEADER, {"x-change-ticket", 15}}, {.kind = POSTERN_TIME})
 */
#define POSTERN_COUNTED(member, type, ...) \
    .member = (const type[]){__VA_ARGS__}, .member##_count = sizeof((const type[]){__VA_ARGS__}) / sizeof(type)
#define POSTERN_SCOPES(...) POSTERN_COUNTED(scopes, uint8_t, __VA_ARGS__)
#define POSTERN_SUBJECT_KINDS(...) POSTERN_COUNTED(subject_kinds, uint8_t, __VA_ARGS__)
#define POSTERN_ALL_SUBJECT_KINDS POSTERN_SUBJECT_KINDS(POSTERN_SERVICE_USER, POSTERN_MEMBER, POSTERN_GROUP)
#define POSTERN_INPUTS(...) POSTERN_COUNTED(inputs, postern_input, __VA_ARGS__)
#define POSTERN_INPUT_HEADER(name) {POSTERN_HEADER, {(name), sizeof(name) - 1}}

/* What a guard answers when it has nothing against a request. */
#define POSTERN_PASS ((postern_text){0, 0})

/* Returns whether two texts are equal. */
static inline bool postern_equal(postern_text one, postern_text other) {
    if (one.length != other.length) return false;
    for (uint32_t at = 0; at < one.length; at++) {
        if (one.at[at] != other.at[at]) return false;
    }
    return true;
}

/* Returns whether a text begins with another. */
static inline bool postern_starts_with(postern_text text, postern_text start) {
    if (text.length < start.length) return false;
    return postern_equal((postern_text){text.at, start.length}, start);
}

/* Returns whether a text ends with another. */
static inline bool postern_ends_with(postern_text text, postern_text end) {
    if (text.length < end.length) return false;
    return postern_equal((postern_text){text.at + (text.length - end.length), end.length}, end);
}

/* Returns the value of the first pair with a name. */
static inline postern_optional_text postern_find(const postern_pair *pairs, uint32_t count, postern_text name) {
    for (uint32_t at = 0; at < count; at++) {
        if (postern_equal(pairs[at].name, name)) return (postern_optional_text){true, pairs[at].value};
    }
    return (postern_optional_text){false, {0, 0}};
}

/* Returns the decoded value of a parameter of the operation's path. */
static inline postern_optional_text postern_parameter(const postern_request *request, postern_text name) {
    return postern_find(request->operation.parameters, request->operation.parameters_count, name);
}

/* Returns the value of a header field that the policy asked for, by its name in lower case. */
static inline postern_optional_text postern_header(const postern_request *request, postern_text name) {
    return postern_find(request->inputs.headers, request->inputs.headers_count, name);
}

/* Exports a role policy. `manifest` is a `static const postern_manifest`;
 * `bool allows(const postern_request *)` returns whether the role grants what is asked for. */
#define POSTERN_ROLE(manifest, allows)                                            \
    POSTERN_DESCRIBE(manifest, 0)                                                 \
    __attribute__((export_name("decide"))) int postern_decide(const postern_request *request) { \
        return (allows)(request) ? 0 : 1;                                         \
    }

/* Exports a guard policy. `postern_text objection(const postern_request *)` returns the reason to refuse, which the caller
 * is told, or POSTERN_PASS. */
#define POSTERN_GUARD(manifest, objection)                                        \
    POSTERN_DESCRIBE(manifest, 1)                                                 \
    __attribute__((export_name("decide"))) const void *postern_decide(const postern_request *request) { \
        static postern_optional_text verdict;                                     \
        verdict.value = (objection)(request);                                     \
        verdict.is_some = verdict.value.at != 0;                                  \
        return &verdict;                                                          \
    }

#define POSTERN_DESCRIBE(manifest, policy_kind)                                   \
    __attribute__((export_name("describe"))) const void *postern_describe(void) { \
        static postern_manifest said;                                             \
        said = (manifest);                                                        \
        said.kind = (policy_kind);                                                \
        return &said;                                                             \
    }

extern unsigned char __heap_base;

/* The host's way to put a request into memory: each piece lies behind the last one. */
__attribute__((export_name("cabi_realloc"))) void *
postern_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
    static uintptr_t free_from;
    if (free_from == 0) free_from = (uintptr_t)&__heap_base;
    uintptr_t start = (free_from + align - 1) & ~(uintptr_t)(align - 1);
    uintptr_t end = start + new_size;
    size_t pages = (end + 65535) / 65536, had = __builtin_wasm_memory_size(0);
    if (end < start || (pages > had && __builtin_wasm_memory_grow(0, pages - had) == (size_t)-1)) __builtin_trap();
    free_from = end;
    if (old_size != 0) __builtin_memcpy((void *)start, old, old_size < new_size ? old_size : new_size);
    return (void *)start;
}

#endif
