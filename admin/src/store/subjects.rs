//! Subjects: service users, members and groups, each of one organisation.

use feed::{Record, Scope, SubjectKind};
use serde_json::value::RawValue;

use super::sql::{Row, sql};
use super::{Change, StoreError, View};

/// A subject, and the role it holds on the scope that was asked about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub id: String,
    pub org: String,
    pub kind: SubjectKind,
    pub name: String,
    pub email: Option<String>,
    /// A JSON object.
    pub properties: Box<RawValue>,
    /// Of members only.
    pub invite: Option<Invite>,
    /// Of groups only.
    pub idp_id: Option<String>,
    pub created_ms: i64,
    pub created_by: String,
    pub role: Option<String>,
    /// Of service users only: whether their tokens are refused for the time being.
    pub disabled: bool,
}

/// Whether a member has followed their invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invite {
    Pending,
    Accepted,
}

/// A subject to be.
#[derive(Debug)]
pub(crate) struct NewSubject<'a> {
    pub id: &'a str,
    pub org: &'a str,
    pub name: &'a str,
    pub email: Option<&'a str>,
    pub form: NewForm<'a>,
}

/// What sets the kinds of subject apart.
#[derive(Debug)]
pub(crate) enum NewForm<'a> {
    ServiceUser,
    /// A member, invited but not yet here.
    Invited,
    /// A member who is here.
    Here,
    Group {
        idp_id: &'a str,
    },
}

impl View {
    /// Returns a subject of an organisation with its role on a scope.
    pub(crate) async fn subject(&mut self, id: &str, scope: &Scope) -> Result<Option<Subject>, StoreError> {
        let row = sql("SELECT s.*, b.role FROM subjects s
             LEFT JOIN role_bindings b ON b.subject = s.id AND b.scope = $1
             WHERE s.id = $2 AND s.org = $3")
        .bind(scope.to_string())
        .bind(id)
        .bind(scope.organisation())
        .row(self.connection())
        .await?;
        row.as_ref().map(Subject::read).transpose()
    }

    /// Returns a subject, whatever its organisation, with its role there. Only for callers, who prove who they are.
    pub(crate) async fn caller(&mut self, id: &str) -> Result<Option<Subject>, StoreError> {
        let row = sql("SELECT s.*, b.role FROM subjects s
             LEFT JOIN role_bindings b ON b.subject = s.id AND b.scope = '/orgs/' || s.org
             WHERE s.id = $1")
        .bind(id)
        .row(self.connection())
        .await?;
        row.as_ref().map(Subject::read).transpose()
    }

    /// Returns all subjects that hold a role on a scope, the oldest first.
    pub(crate) async fn holders(&mut self, scope: &Scope) -> Result<Vec<Subject>, StoreError> {
        let rows = sql(
            "SELECT s.*, b.role FROM role_bindings b JOIN subjects s ON s.id = b.subject
             WHERE b.scope = $1 ORDER BY s.created_ms, s.id",
        )
        .bind(scope.to_string())
        .rows(self.connection())
        .await?;
        rows.iter().map(Subject::read).collect()
    }

    /// Returns the member of an organisation with an address, in any spelling of ASCII letters.
    pub(crate) async fn member_with_email(&mut self, org: &str, email: &str) -> Result<Option<Subject>, StoreError> {
        let row = sql("SELECT s.*, b.role FROM subjects s
             LEFT JOIN role_bindings b ON b.subject = s.id AND b.scope = '/orgs/' || s.org
             WHERE s.org = $1 AND s.kind = 'member' AND lower(s.email) = $2")
        .bind(org)
        .bind(email.to_ascii_lowercase())
        .row(self.connection())
        .await?;
        row.as_ref().map(Subject::read).transpose()
    }

    /// Returns the members of an organisation that have not yet followed their invitation, the oldest first.
    pub(crate) async fn invited(&mut self, org: &str) -> Result<Vec<Subject>, StoreError> {
        let rows = sql("SELECT s.*, NULL AS role FROM subjects s
             WHERE s.org = $1 AND s.kind = 'member' AND s.invite = 'pending' ORDER BY s.created_ms, s.id")
        .bind(org)
        .rows(self.connection())
        .await?;
        rows.iter().map(Subject::read).collect()
    }

    /// Returns whether a member other than this subject has this address, in any spelling of ASCII letters.
    pub(crate) async fn email_is_taken(&mut self, org: &str, email: &str, by_other: &str) -> Result<bool, StoreError> {
        let (taken,): (bool,) = sql("SELECT EXISTS (SELECT 1 FROM subjects
             WHERE org = $1 AND kind = 'member' AND lower(email) = $2 AND id <> $3)")
        .bind(org)
        .bind(email.to_ascii_lowercase())
        .bind(by_other)
        .fetch_one(self.connection())
        .await?;
        Ok(taken)
    }

    /// Returns whether the organisation has this group of this identity provider.
    pub(crate) async fn group_exists(&mut self, org: &str, idp_id: &str, name: &str) -> Result<bool, StoreError> {
        let (exists,): (bool,) = sql(
            "SELECT EXISTS (SELECT 1 FROM subjects WHERE org = $1 AND kind = 'group' AND idp_id = $2 AND name = $3)",
        )
        .bind(org)
        .bind(idp_id)
        .bind(name)
        .fetch_one(self.connection())
        .await?;
        Ok(exists)
    }
}

impl Change {
    /// Adds an organisation.
    pub(crate) async fn insert_org(&mut self, id: &str) -> Result<(), StoreError> {
        sql("INSERT INTO organisations (id, created_ms) VALUES ($1, $2)")
            .bind(id)
            .bind(self.now_ms)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    /// Adds a subject, which holds no role yet.
    pub(crate) async fn insert_subject(&mut self, new: &NewSubject<'_>) -> Result<(), StoreError> {
        let (kind, invite, idp_id) = match new.form {
            NewForm::ServiceUser => (SubjectKind::ServiceUser, None, None),
            NewForm::Invited => (SubjectKind::Member, Some(Invite::Pending.name()), None),
            NewForm::Here => (SubjectKind::Member, Some(Invite::Accepted.name()), None),
            NewForm::Group { idp_id } => (SubjectKind::Group, None, Some(idp_id)),
        };
        sql(
            "INSERT INTO subjects (id, org, kind, name, email, invite, idp_id, created_ms, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(new.id)
        .bind(new.org)
        .bind(kind_name(kind))
        .bind(new.name)
        .bind(new.email)
        .bind(invite)
        .bind(idp_id)
        .bind(self.now_ms)
        .bind(self.actor.id().to_owned())
        .execute(self.view.connection())
        .await?;
        self.touched.insert(new.id.to_owned());
        Ok(())
    }

    /// Writes name, email and properties of a subject as they are in this value.
    pub(crate) async fn update_profile(&mut self, subject: &Subject) -> Result<(), StoreError> {
        sql("UPDATE subjects SET name = $1, email = $2, properties = $3 WHERE id = $4 AND org = $5")
            .bind(&subject.name)
            .bind(&subject.email)
            .bind(subject.properties.get())
            .bind(&subject.id)
            .bind(&subject.org)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    /// A member has followed their invitation.
    pub(crate) async fn accept_invitation(&mut self, member: &Subject) -> Result<(), StoreError> {
        sql("UPDATE subjects SET invite = 'accepted' WHERE id = $1 AND org = $2")
            .bind(&member.id)
            .bind(&member.org)
            .execute(self.view.connection())
            .await?;
        Ok(())
    }

    /// Disables a service user, or enables it: gateways forget its tokens, or are told of those that are not held.
    pub(crate) async fn set_disabled(&mut self, subject: &Subject, disabled: bool) -> Result<(), StoreError> {
        sql("UPDATE subjects SET disabled = $1 WHERE id = $2 AND org = $3")
            .bind(disabled)
            .bind(&subject.id)
            .bind(&subject.org)
            .execute(self.view.connection())
            .await?;
        self.tell_tokens(subject, disabled).await
    }

    /// Removes a subject, its role bindings and its tokens.
    pub(crate) async fn delete_subject(&mut self, subject: &Subject) -> Result<(), StoreError> {
        self.delete_tokens(subject).await?;
        sql("DELETE FROM subjects WHERE id = $1 AND org = $2")
            .bind(&subject.id)
            .bind(&subject.org)
            .execute(self.view.connection())
            .await?;
        self.touched.remove(&subject.id);
        let id = subject.id.clone();
        self.records.push(Record::SubjectRemoved { id });
        Ok(())
    }
}

impl Subject {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let kind: String = row.get("kind")?;
        let properties: String = row.get("properties")?;
        let properties = RawValue::from_string(properties).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let invite: Option<String> = row.get("invite")?;
        Ok(Self {
            id: row.get("id")?,
            org: row.get("org")?,
            kind: parse_kind(&kind)?,
            name: row.get("name")?,
            email: row.get("email")?,
            properties,
            invite: invite.as_deref().map(Invite::parse).transpose()?,
            idp_id: row.get("idp_id")?,
            created_ms: row.get("created_ms")?,
            created_by: row.get("created_by")?,
            role: row.get("role")?,
            disabled: row.get("disabled")?,
        })
    }
}

impl Invite {
    /// Returns the word that the API and the store use for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
        }
    }

    fn parse(name: &str) -> Result<Self, StoreError> {
        match name {
            "pending" => Ok(Self::Pending),
            "accepted" => Ok(Self::Accepted),
            other => Err(StoreError::Damaged(format!("the invite {other:?}"))),
        }
    }
}

/// Returns the word that the store and the feed use for a kind.
pub(super) fn kind_name(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::ServiceUser => "service-user",
        SubjectKind::Member => "member",
        SubjectKind::Group => "group",
    }
}

pub(super) fn parse_kind(name: &str) -> Result<SubjectKind, StoreError> {
    match name {
        "service-user" => Ok(SubjectKind::ServiceUser),
        "member" => Ok(SubjectKind::Member),
        "group" => Ok(SubjectKind::Group),
        other => Err(StoreError::Damaged(format!("the kind {other:?}"))),
    }
}
