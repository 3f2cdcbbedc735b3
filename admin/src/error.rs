//! Errors: every way in which a request to the control plane ends without what it asked for.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::store::StoreError;

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No gateway vouches for the request.
    #[error("no gateway vouches for the request")]
    Unauthenticated,
    /// There is no such thing, or the caller's organisation has no such thing.
    #[error("no such thing in the caller's organisation")]
    NotFound,
    /// The path has no such method.
    #[error("no such method")]
    MethodNotAllowed,
    /// The body is not JSON, or not of the form that is asked for.
    #[error("the body cannot be read")]
    MalformedBody,
    /// A member of the body or a parameter of the query has a value that it cannot have.
    #[error("{name}: {rule}")]
    Field {
        /// Its name.
        name: &'static str,
        /// What its value must be.
        rule: &'static str,
    },
    /// No such role can be bound there to such a subject.
    #[error("no such role can be bound there to such a subject")]
    UnknownRole,
    /// Only service users have tokens.
    #[error("a token for somebody who is not a service user")]
    NotAServiceUser,
    /// The subject has as many tokens as a subject may have.
    #[error("the subject has as many tokens as it may have")]
    TooManyTokens,
    /// A member of the organisation has this address.
    #[error("a member has this address")]
    EmailTaken,
    /// The organisation would have no administrator.
    #[error("the last administrator of the organisation")]
    LastAdministrator,
    /// The subject, or the role to be given, is above the caller's own role.
    #[error("above the caller's own role")]
    AboveYourRole,
    /// The subject has a token with this id.
    #[error("the subject has a token with this id")]
    TokenIdTaken,
    /// The organisation has this group.
    #[error("the organisation has this group")]
    GroupTaken,
    /// The component cannot be a policy.
    #[error("the component cannot be a policy")]
    ComponentRefused {
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// Policies have to be signed here.
    #[error("a policy that nobody has signed")]
    PolicyUnsigned,
    /// The signature is not that of a trusted key over this component.
    #[error("the signature does not hold")]
    PolicySignatureInvalid,
    /// The settings are not what the policy's schema asks for.
    #[error("settings that the policy does not take")]
    SettingsInvalid {
        /// What is wrong with them.
        problem: String,
    },
    /// The roles that are built in stay as they are.
    #[error("a built-in role")]
    PolicyBuiltIn,
    /// The organisation has as many policies as it may have.
    #[error("the organisation has as many policies as it may have")]
    TooManyPolicies,
    /// The organisation has as many guards as it may have.
    #[error("the organisation has as many guards as it may have")]
    TooManyGuards,
    /// The organisation has a guard with this id.
    #[error("the organisation has a guard with this id")]
    GuardIdTaken,
    /// Another gateway has this name.
    #[error("another gateway has this name")]
    GatewayNameTaken,
    /// There are as many gateways as there may be.
    #[error("there are as many gateways as there may be")]
    TooManyGateways,
    /// Another component was published with this version.
    #[error("another component has this version")]
    VersionTaken,
    /// The version is not greater than those before it.
    #[error("the version is not greater than {newest}")]
    VersionNotNewer {
        /// The newest version there is.
        newest: String,
    },
    /// A policy of this name grants where this one refuses, or the other way round.
    #[error("a policy of this name is of another kind")]
    PolicyKindDiffers,
    /// There is no version to go back to.
    #[error("there is no previous version")]
    NoPreviousVersion,
    /// The version that is watched decides otherwise where nobody expects it to.
    #[error("flips that were not expected")]
    UnexpectedFlips {
        /// The flips, as the report of the shadow has them.
        flips: Value,
    },
    /// The version has not been watched, or not for long enough.
    #[error("watched on {evaluations} decisions of {evaluations_min}")]
    TooFewEvaluations {
        /// On how many decisions it was watched.
        evaluations: u64,
        /// On how many it had to be.
        evaluations_min: u64,
    },
    /// Role bindings would be left that the policy's manifest does not admit.
    #[error("role bindings that the manifest does not admit")]
    BindingsNotAdmitted {
        /// Some of them.
        bindings: Value,
    },
    /// Guards would be left that the policy's manifest or schema does not admit.
    #[error("guards that the manifest or the schema does not admit")]
    GuardsNotAdmitted {
        /// Their ids.
        guards: Vec<String>,
    },
    /// Somebody holds the role.
    #[error("{holders} hold the role")]
    RoleInUse {
        /// How many role bindings there are.
        holders: u64,
    },
    /// The policy is attached as a guard.
    #[error("the policy is attached")]
    PolicyAttached {
        /// Ids of the guards.
        guards: Vec<String>,
    },
    /// What was at this revision is no longer known.
    #[error("the change log does not reach back to the revision")]
    RevisionTooOld,
    /// The body is longer than it may be.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// Others keep the store busy, or too many feeds are open.
    #[error("busy")]
    Busy,
    /// The store's database cannot be reached.
    #[error("the store cannot be reached")]
    StoreUnreachable,
    /// Nobody can tell whether the change was made.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// Something of ours failed.
    #[error("failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// Wraps a failure of ours.
    pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MalformedBody
            | Self::Field { .. }
            | Self::UnknownRole
            | Self::NotAServiceUser
            | Self::TooManyTokens
            | Self::EmailTaken
            | Self::ComponentRefused { .. }
            | Self::PolicyUnsigned
            | Self::PolicySignatureInvalid
            | Self::SettingsInvalid { .. }
            | Self::PolicyBuiltIn
            | Self::TooManyPolicies
            | Self::TooManyGuards
            | Self::TooManyGateways => StatusCode::BAD_REQUEST,
            Self::LastAdministrator | Self::AboveYourRole => StatusCode::FORBIDDEN,
            Self::TokenIdTaken
            | Self::GroupTaken
            | Self::GuardIdTaken
            | Self::GatewayNameTaken
            | Self::VersionTaken
            | Self::VersionNotNewer { .. }
            | Self::PolicyKindDiffers
            | Self::NoPreviousVersion
            | Self::UnexpectedFlips { .. }
            | Self::TooFewEvaluations { .. }
            | Self::BindingsNotAdmitted { .. }
            | Self::GuardsNotAdmitted { .. }
            | Self::RoleInUse { .. }
            | Self::PolicyAttached { .. } => StatusCode::CONFLICT,
            Self::RevisionTooOld => StatusCode::GONE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::StoreUnreachable | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The reason's id, which stays the same for ever, and the text for the caller.
    fn public(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unauthenticated => ("unauthenticated", "The request is not authenticated."),
            Self::NotFound => ("not-found", "There is no such object."),
            Self::MethodNotAllowed => ("method-not-allowed", "The object does not have this method."),
            Self::MalformedBody => (
                "malformed-body",
                "The body is not the JSON object that this request takes.",
            ),
            Self::Field { .. } => ("invalid-field", "A field has a value that it cannot have."),
            Self::UnknownRole => (
                "unknown-role",
                "No such role can be given to this kind of subject on this object.",
            ),
            Self::NotAServiceUser => ("not-a-service-user", "Only service users have tokens."),
            Self::TooManyTokens => ("too-many-tokens", "The service user has as many tokens as it may have."),
            Self::EmailTaken => ("email-taken", "The organisation has a member with this email address."),
            Self::LastAdministrator => ("last-administrator", "The organisation's last administrator stays."),
            Self::AboveYourRole => ("above-your-role", "This needs rights that your own role does not have."),
            Self::TokenIdTaken => ("token-id-taken", "The service user has a token with this id."),
            Self::GroupTaken => (
                "group-taken",
                "The organisation has this group of this identity provider.",
            ),
            Self::ComponentRefused { .. } => ("component-refused", "The component cannot be a policy."),
            Self::PolicyUnsigned => ("policy-unsigned", "Policies have to be signed here."),
            Self::PolicySignatureInvalid => (
                "policy-signature-invalid",
                "The signature is not that of a trusted key over this policy.",
            ),
            Self::SettingsInvalid { .. } => ("settings-invalid", "The policy does not take these settings."),
            Self::PolicyBuiltIn => ("policy-built-in", "The roles that are built in stay as they are."),
            Self::TooManyGuards => ("too-many-guards", "The organisation has as many guards as it may have."),
            Self::GuardIdTaken => ("guard-id-taken", "The organisation has a guard with this id."),
            Self::VersionTaken => ("version-taken", "Another component was published with this version."),
            Self::VersionNotNewer { .. } => (
                "version-not-newer",
                "A version must be greater than those published before it.",
            ),
            Self::PolicyKindDiffers => ("policy-kind-differs", "A policy of this name is of the other kind."),
            Self::NoPreviousVersion => ("no-previous-version", "There is no version to go back to."),
            Self::UnexpectedFlips { .. } => (
                "unexpected-flips",
                "The version decides otherwise where that was not expected.",
            ),
            Self::TooFewEvaluations { .. } => (
                "too-few-evaluations",
                "The version was not watched on enough decisions.",
            ),
            Self::BindingsNotAdmitted { .. } => (
                "bindings-not-admitted",
                "Role bindings would be left that the policy does not admit.",
            ),
            Self::GuardsNotAdmitted { .. } => (
                "guards-not-admitted",
                "Guards would be left that the policy does not admit.",
            ),
            Self::RoleInUse { .. } => ("role-in-use", "Somebody holds this role."),
            Self::PolicyAttached { .. } => ("policy-attached", "The policy is attached as a guard."),
            Self::RevisionTooOld => ("revision-too-old", "What was at this revision is no longer known."),
            Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::Busy
            | Self::StoreUnreachable
            | Self::OutcomeUnknown
            | Self::TooManyPolicies
            | Self::TooManyGateways
            | Self::GatewayNameTaken
            | Self::Internal(_) => self.public_of_circumstances(),
        }
    }

    /// The same, of what lies in no request's content.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told above")]
    fn public_of_circumstances(&self) -> (&'static str, &'static str) {
        match self {
            Self::TooManyPolicies => (
                "too-many-policies",
                "The organisation has as many policies as it may have.",
            ),
            Self::TooManyGateways => ("too-many-gateways", "There are as many gateways as there may be."),
            Self::GatewayNameTaken => ("gateway-name-taken", "Another gateway has this name: remove it first."),
            Self::BodyTooLarge => ("body-too-large", "The body is larger than this request may have."),
            Self::BodyTooSlow => ("body-too-slow", "The body did not arrive in time."),
            Self::Busy => ("busy", "Too much is being done at the moment. Try again."),
            Self::StoreUnreachable => (
                "store-unreachable",
                "The store cannot be reached. Nothing was changed. Try again.",
            ),
            Self::OutcomeUnknown => (
                "outcome-unknown",
                "Contact with the store was lost: whether the change was made is not known. Look before you try again.",
            ),
            _ => ("internal-error", "Something failed. The reason has been logged."),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most refusals have no details")]
    fn details(&self) -> Value {
        match self {
            Self::Field { name, rule } => json!({"field": name, "rule": rule}),
            Self::ComponentRefused { problems } => json!({ "problems": problems }),
            Self::SettingsInvalid { problem } => json!({ "problem": problem }),
            Self::VersionNotNewer { newest } => json!({ "newest": newest }),
            Self::UnexpectedFlips { flips } => json!({ "flips": flips }),
            Self::TooFewEvaluations {
                evaluations,
                evaluations_min,
            } => json!({"evaluations": evaluations, "evaluations_min": evaluations_min}),
            Self::BindingsNotAdmitted { bindings } => json!({ "bindings": bindings }),
            Self::GuardsNotAdmitted { guards } | Self::PolicyAttached { guards } => json!({ "guards": guards }),
            Self::RoleInUse { holders } => json!({ "holders": holders }),
            _ => json!({}),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(source) = &self {
            tracing::error!(error = source.as_ref(), "a request failed");
        }
        let (reason, message) = self.public();
        let body = json!({"error": reason, "message": message, "details": self.details()});
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        if matches!(self, Self::Unauthenticated) {
            // RFC 9110 §15.5.2: a 401 names at least one way to authenticate.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self, Self::Busy | Self::StoreUnreachable) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unreachable | StoreError::Replaced => Self::StoreUnreachable,
            StoreError::OutcomeUnknown => Self::OutcomeUnknown,
            StoreError::Damaged(_) | StoreError::Random(_) | StoreError::Interrupted | StoreError::Database(_) => {
                Self::internal(error)
            }
        }
    }
}
