"""{{name}}: whoever holds this role may read everything, and change nothing."""

import wit_world
from wit_world.imports.role_types import RoleVerdict
from wit_world.imports.types import Manifest, PolicyKind, Request, Scope, SubjectKind


class WitWorld(wit_world.WitWorld):
    def describe(self) -> Manifest:
        return Manifest(
            name="{{name}}",
            version="0.1.0",
            kind=PolicyKind.ROLE,
            scopes=[Scope.ORG, Scope.APP],
            subject_kinds=[SubjectKind.SERVICE_USER, SubjectKind.MEMBER, SubjectKind.GROUP],
            inputs=[],
            settings_schema=None,
        )

    def decide(self, request: Request) -> RoleVerdict:
        """Tells whether the role grants what is asked for."""
        if request.operation.permission.endswith(".read"):
            return RoleVerdict.ALLOW
        return RoleVerdict.ABSTAIN
