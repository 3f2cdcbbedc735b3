/* {{name}}: whoever holds this role may read everything, and change nothing. */
#include "postern_policy.h"

static const postern_manifest manifest = {
    .name = POSTERN_TEXT("{{name}}"),
    .version = POSTERN_TEXT("0.1.0"),
    POSTERN_SCOPES(POSTERN_ORG, POSTERN_APP),
    POSTERN_ALL_SUBJECT_KINDS,
};

static bool allows(const postern_request *request) {
    return postern_ends_with(request->operation.permission, POSTERN_TEXT(".read"));
}

POSTERN_ROLE(manifest, allows)
