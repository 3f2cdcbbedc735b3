/* {{name}}: nothing is deleted without a ticket. */
#include "postern_policy.h"

static const postern_manifest manifest = {
    .name = POSTERN_TEXT("{{name}}"),
    .version = POSTERN_TEXT("0.1.0"),
    POSTERN_SCOPES(POSTERN_ORG, POSTERN_APP),
    POSTERN_ALL_SUBJECT_KINDS,
    POSTERN_INPUTS(POSTERN_INPUT_HEADER("x-change-ticket")),
};

static postern_text objection(const postern_request *request) {
    bool deletes = postern_equal(request->operation.method, POSTERN_TEXT("DELETE"));
    if (deletes && !postern_header(request, POSTERN_TEXT("x-change-ticket")).is_some) {
        return POSTERN_TEXT("deletions need a ticket: send the header x-change-ticket");
    }
    return POSTERN_PASS;
}

POSTERN_GUARD(manifest, objection)
