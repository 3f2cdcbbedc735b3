"""{{name}}: nothing is deleted without a ticket."""

import wit_world
from wit_world.imports.guard_types import GuardVerdict, GuardVerdict_Deny, GuardVerdict_Pass
from wit_world.imports.types import Input_Header, Manifest, PolicyKind, Request, Scope, SubjectKind


class WitWorld(wit_world.WitWorld):
    def describe(self) -> Manifest:
        return Manifest(
            name="{{name}}",
            version="0.1.0",
            kind=PolicyKind.GUARD,
            scopes=[Scope.ORG, Scope.APP],
            subject_kinds=[SubjectKind.SERVICE_USER, SubjectKind.MEMBER, SubjectKind.GROUP],
            inputs=[Input_Header("x-change-ticket")],
            settings_schema=None,
        )

    def decide(self, request: Request) -> GuardVerdict:
        """Tells whether the guard refuses what is asked for, with the reason that the caller is told."""
        if request.operation.method == "DELETE" and not request.inputs.headers:
            return GuardVerdict_Deny("deletions need a ticket: send the header x-change-ticket")
        return GuardVerdict_Pass()
