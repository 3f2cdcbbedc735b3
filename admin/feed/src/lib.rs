//! What the admin service and the gateways tell each other: frames, records, and the words both use.
//!
//! A leaf: it does no IO and knows no HTTP library, database or engine. Time and randomness are parameters.
//!
//! # Layout
//! - [`frame`]: the lines of the feed, and how a gateway answers.
//! - [`vouch`], [`key`]: how its lines prove who wrote them, and when.
//! - [`record`]: what a frame carries: subjects with their roles, tokens.
//! - [`policy`]: policies and guards, as records; which component is in force.
//! - [`decision`]: a decision with all that it was made of.
//! - [`shadow`]: what came of watching a version beside the active one.
//! - [`incarnation`]: which store, and which life of it.
//! - [`scope`]: the objects on which roles are held.
//! - [`token`]: the secrets: their format, and the digest that is all anyone keeps.
//! - [`thumbprint`]: the client certificates that tokens can be bound to.
//! - [`incarnation`]: the lives of a store.
//! - [`clock`]: the time, as a parameter.

pub mod clock;
pub mod decision;
pub mod frame;
pub mod incarnation;
pub mod key;
pub mod policy;
pub mod record;
pub mod scope;
pub mod shadow;
pub mod thumbprint;
pub mod token;
pub mod vouch;

pub use clock::Clock;
pub use decision::RecordedDecision;
pub use frame::{
    Acknowledgement, Creator, EffectReport, Enrolled, Enrolment, Frame, GatewayInfo, Identity, ObjectEffect,
    VerificationKey,
};
pub use incarnation::StoreName;
pub use policy::{Guard, GuardScope, Policy, PolicyDigest, PolicyKind, PolicyVersion};
pub use record::{Record, RoleBinding, Subject, SubjectKind, Token};
pub use scope::Scope;
pub use shadow::{ShadowFlip, ShadowReport};
pub use thumbprint::Thumbprint;
pub use token::{Digest, Secret};
pub use vouch::FeedKeys;
