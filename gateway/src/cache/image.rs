//! The cache as octets, and back: in parts that are read by several threads, so that a million tokens take a moment.
//!
//! An image is taken while changes go on, so it may hold some of what came after its revision. It is whole again once the
//! changes that follow it are applied, up to the one that its end tells: each record replaces what it is about.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf as _, BufMut as _, TryGetError};
use feed::{Digest, Record, SubjectKind, Thumbprint};

use super::{Cache, Slot, Snapshot, Subject, Tables, Token};

/// Octets that are no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnImage {
    /// It is not what was written.
    #[error("it is not what was written")]
    Altered,
    /// It ends before its end.
    #[error("it is not whole")]
    NotWhole,
    /// Something in it cannot be read.
    #[error("it cannot be read")]
    Unreadable,
    /// A change is missing.
    #[error("the change after revision {0} is missing")]
    Missing(u64),
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Begin = 1,
    Subjects = 2,
    Tokens = 3,
    Policies = 4,
    End = 5,
    Change = 6,
}

impl From<TryGetError> for NotAnImage {
    fn from(_: TryGetError) -> Self {
        Self::Unreadable
    }
}

impl Kind {
    fn of(part: &[u8]) -> Option<Self> {
        let all = [
            Self::Begin,
            Self::Subjects,
            Self::Tokens,
            Self::Policies,
            Self::End,
            Self::Change,
        ];
        let number = *part.first()?;
        all.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl Cache {
    /// Hands out all that is here, in parts. Returns the revision that it is of; `None` when nothing has arrived yet.
    ///
    /// # Errors
    /// Those of `take`, and when a text is too long to be written.
    pub(crate) fn image(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Option<u64>> {
        let tables = self.tables.load_full();
        if tables.store.is_empty() {
            return Ok(None);
        }
        let revision = tables.revision.load(Ordering::Acquire);
        let mut part = begin(Kind::Begin);
        part.put_u64(revision);
        part.put_u32(u32::try_from(tables.tokens.len()).unwrap_or(u32::MAX));
        text(&mut part, &tables.store)?;
        take(&part)?;
        // Handed out only then: the maps are not held while anything is written.
        let (places, parts) = subjects(&tables)?;
        parts.iter().try_for_each(|part| take(part))?;
        let (tokens, parts) = tokens(&tables, &places)?;
        parts.iter().try_for_each(|part| take(part))?;
        let mut part = begin(Kind::Policies);
        let policies = tables.policies().records();
        serde_json::to_writer(&mut part, &policies)?;
        take(&part)?;
        let mut part = begin(Kind::End);
        part.put_u64(places.slots.len() as u64);
        part.put_u64(tokens);
        // What has begun to be applied may be here in part.
        part.put_u64(tables.begun.load(Ordering::Acquire));
        take(&part)?;
        Ok(Some(revision))
    }
}

/// Returns a change as a part that stands behind an image.
pub(crate) fn change_part(revision: u64, records: &[Record]) -> io::Result<Vec<u8>> {
    let mut part = begin(Kind::Change);
    part.put_u64(revision);
    serde_json::to_writer(&mut part, records)?;
    Ok(part)
}

fn begin(kind: Kind) -> Vec<u8> {
    vec![kind as u8]
}

/// Writes a text behind its length.
fn text(part: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = u16::try_from(text.len()).map_err(|_too_long| io::Error::other("a text is too long"))?;
    part.put_u16(length);
    part.put_slice(text.as_bytes());
    Ok(())
}

/// The places of subjects in an image.
#[derive(Default)]
struct Places {
    by_slot: HashMap<*const Slot, u32>,
    /// All of them, so that none makes room for another meanwhile.
    slots: Vec<Arc<Slot>>,
}

/// Returns the places of all subjects, and the parts that hold them.
fn subjects(tables: &Tables) -> io::Result<(Places, Vec<Vec<u8>>)> {
    let (mut places, mut parts) = (Places::default(), Vec::new());
    let mut part = begin(Kind::Subjects);
    for entry in &tables.subjects {
        let place = u32::try_from(places.slots.len()).map_err(|_too_many| io::Error::other("too many subjects"))?;
        if part.len() > PART_BYTES {
            parts.push(std::mem::replace(&mut part, begin(Kind::Subjects)));
        }
        places.by_slot.insert(Arc::as_ptr(entry.value()), place);
        places.slots.push(Arc::clone(entry.value()));
        text(&mut part, entry.key())?;
        match &*entry.value().subject.load() {
            Some(subject) => write_subject(&mut part, subject)?,
            None => part.put_u8(0),
        }
    }
    parts.push(part);
    Ok((places, parts))
}

fn write_subject(part: &mut Vec<u8>, subject: &Subject) -> io::Result<()> {
    part.put_u8(match subject.kind {
        SubjectKind::ServiceUser => 1,
        SubjectKind::Member => 2,
        SubjectKind::Group => 3,
    });
    text(part, &subject.org)?;
    part.put_u8(u8::from(subject.org_role.is_some()));
    if let Some(role) = &subject.org_role {
        text(part, role)?;
    }
    for roles in [&subject.app_roles, &subject.env_type_roles] {
        part.put_u32(u32::try_from(roles.len()).map_err(|_too_many| io::Error::other("too many roles"))?);
        for (object, role) in roles {
            text(part, object)?;
            text(part, role)?;
        }
    }
    Ok(())
}

/// Returns how many tokens there are, and the parts that hold them.
fn tokens(tables: &Tables, places: &Places) -> io::Result<(u64, Vec<Vec<u8>>)> {
    let (mut part, mut count, mut parts) = (begin(Kind::Tokens), 0, Vec::new());
    for entry in &tables.tokens {
        let token = entry.value();
        // One whose subject came after the subjects were handed out came by a change that follows.
        let Some(place) = places.by_slot.get(&Arc::as_ptr(&token.subject)) else {
            continue;
        };
        if part.len() > PART_BYTES {
            parts.push(std::mem::replace(&mut part, begin(Kind::Tokens)));
        }
        count += 1;
        part.put_slice(entry.key().as_bytes());
        text(&mut part, &token.id)?;
        part.put_u32(*place);
        part.put_i64(token.expires_ms);
        part.put_u8(u8::from(token.certificate.is_some()));
        if let Some(certificate) = &token.certificate {
            part.put_slice(certificate.as_bytes());
        }
    }
    parts.push(part);
    Ok((count, parts))
}

impl Snapshot {
    /// Reads an image, and the changes behind it. Its parts are at these places; each is opened by `open` first, with its
    /// number, by several threads.
    ///
    /// # Errors
    /// [`NotAnImage`].
    pub(crate) fn of_image(
        octets: &mut [u8],
        places: &[Range<usize>],
        open: impl Fn(u64, &mut [u8]) -> Result<&[u8], NotAnImage> + Sync,
    ) -> Result<Self, NotAnImage> {
        let mut sealed = split(octets, places)?;
        let numbered: Vec<_> = (0..).zip(sealed.iter_mut()).collect();
        let parts = each(numbered, |(number, part)| open(number, part))?;
        let end = parts.iter().position(|part| Kind::of(part) == Some(Kind::End));
        let (image, changes) = parts.split_at(end.ok_or(NotAnImage::NotWhole)?);
        let [first, rest @ ..] = image else {
            return Err(NotAnImage::Unreadable);
        };
        let tables = read_begin(content(first, Kind::Begin)?)?;
        let of_kind = |kind| rest.iter().filter(move |part| Kind::of(part) == Some(kind)).copied();
        let slots = each(of_kind(Kind::Subjects).collect(), |part| {
            read_subjects(&tables, content(part, Kind::Subjects)?)
        })?;
        let slots = slots.concat();
        let counts = each(of_kind(Kind::Tokens).collect(), |part| {
            read_tokens(&tables, &slots, content(part, Kind::Tokens)?)
        })?;
        for part in of_kind(Kind::Policies) {
            let records = serde_json::from_slice(content(part, Kind::Policies)?);
            let records: Vec<Record> = records.map_err(|_malformed| NotAnImage::Unreadable)?;
            let revision = tables.revision.load(Ordering::Relaxed);
            records.into_iter().for_each(|record| tables.apply(record, revision));
        }
        let [end, changes @ ..] = changes else {
            return Err(NotAnImage::NotWhole);
        };
        let mut end = content(end, Kind::End)?;
        if (end.try_get_u64()?, end.try_get_u64()?) != (slots.len() as u64, counts.iter().sum()) {
            return Err(NotAnImage::Unreadable);
        }
        read_changes(&tables, changes, end.try_get_u64()?)?;
        Ok(Self(tables))
    }
}

/// Returns parts as slices of their own.
fn split<'o>(octets: &'o mut [u8], places: &[Range<usize>]) -> Result<Vec<&'o mut [u8]>, NotAnImage> {
    let (mut rest, mut at) = (octets, 0);
    let mut parts = Vec::with_capacity(places.len());
    for place in places {
        let skipped = place.start.checked_sub(at).ok_or(NotAnImage::Unreadable)?;
        let (_, behind) = rest.split_at_mut_checked(skipped).ok_or(NotAnImage::Unreadable)?;
        let (part, behind) = behind.split_at_mut_checked(place.len()).ok_or(NotAnImage::Unreadable)?;
        parts.push(part);
        (rest, at) = (behind, place.end);
    }
    Ok(parts)
}

/// Does something with each part, on as many threads as there are processors; returns the results in order.
fn each<P: Send, T: Send>(
    parts: Vec<P>,
    read: impl Fn(P) -> Result<T, NotAnImage> + Sync,
) -> Result<Vec<T>, NotAnImage> {
    if parts.len() <= ALONE_PARTS {
        return parts.into_iter().map(read).collect();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = parts.len().div_ceil(threads);
    let mut parts = parts.into_iter();
    std::thread::scope(|scope| {
        let mut shares = Vec::new();
        while parts.len() > 0 {
            let share: Vec<P> = parts.by_ref().take(share).collect();
            let read = &read;
            shares.push(scope.spawn(move || share.into_iter().map(read).collect::<Result<Vec<T>, _>>()));
        }
        let mut all = Vec::new();
        for share in shares {
            all.extend(share.join().unwrap_or(Err(NotAnImage::Unreadable))?);
        }
        Ok(all)
    })
}

/// Returns what is behind the kind of a part.
fn content(part: &[u8], kind: Kind) -> Result<&[u8], NotAnImage> {
    match part.split_first() {
        Some((number, content)) if *number == kind as u8 => Ok(content),
        Some(_) | None => Err(NotAnImage::Unreadable),
    }
}

fn read_text<'p>(part: &mut &'p [u8]) -> Result<&'p str, NotAnImage> {
    let length = usize::from(part.try_get_u16()?);
    std::str::from_utf8(take(part, length)?).map_err(|_not_text| NotAnImage::Unreadable)
}

fn take<'p>(part: &mut &'p [u8], length: usize) -> Result<&'p [u8], NotAnImage> {
    let (taken, rest) = part.split_at_checked(length).ok_or(NotAnImage::Unreadable)?;
    *part = rest;
    Ok(taken)
}

fn read_begin(mut part: &[u8]) -> Result<Tables, NotAnImage> {
    let (revision, tokens) = (part.try_get_u64()?, part.try_get_u32()?);
    let store = read_text(&mut part)?;
    Ok(Tables::with_room(store.to_owned(), revision, tokens as usize))
}

fn read_subjects(tables: &Tables, mut part: &[u8]) -> Result<Vec<Arc<Slot>>, NotAnImage> {
    let revision = tables.revision.load(Ordering::Relaxed);
    let mut slots = Vec::new();
    while !part.is_empty() {
        let (id, slot) = tables.slot(read_text(&mut part)?);
        let kind = match part.try_get_u8()? {
            0 => None,
            1 => Some(SubjectKind::ServiceUser),
            2 => Some(SubjectKind::Member),
            3 => Some(SubjectKind::Group),
            _ => return Err(NotAnImage::Unreadable),
        };
        if let Some(kind) = kind {
            let org = tables.name(read_text(&mut part)?);
            let org_role = match part.try_get_u8()? {
                0 => None,
                _ => Some(tables.name(read_text(&mut part)?)),
            };
            let subject = Subject {
                id,
                kind,
                org,
                org_role,
                app_roles: read_roles(tables, &mut part)?,
                env_type_roles: read_roles(tables, &mut part)?,
                changed: revision,
            };
            slot.subject.store(Some(Arc::new(subject)));
        }
        slots.push(slot);
    }
    Ok(slots)
}

type Roles = Box<[(Box<str>, Arc<str>)]>;

fn read_roles(tables: &Tables, part: &mut &[u8]) -> Result<Roles, NotAnImage> {
    let count = part.try_get_u32()?;
    let role = |_| {
        let object = read_text(part)?.into();
        Ok((object, tables.name(read_text(part)?)))
    };
    (0..count).map(role).collect()
}

fn read_tokens(tables: &Tables, slots: &[Arc<Slot>], mut part: &[u8]) -> Result<u64, NotAnImage> {
    let revision = tables.revision.load(Ordering::Relaxed);
    let mut count = 0;
    while !part.is_empty() {
        let digest = Digest::from_bytes(array(take(&mut part, feed::token::DIGEST_BYTES)?)?);
        let id = read_text(&mut part)?.into();
        let place = part.try_get_u32()? as usize;
        let subject = slots.get(place).ok_or(NotAnImage::Unreadable)?;
        let expires_ms = part.try_get_i64()?;
        let certificate = match part.try_get_u8()? {
            0 => None,
            _ => Some(Box::new(Thumbprint::from_bytes(array(take(
                &mut part,
                feed::thumbprint::THUMBPRINT_BYTES,
            )?)?))),
        };
        let token = Token {
            id,
            subject: Arc::clone(subject),
            expires_ms,
            changed: revision,
            certificate,
        };
        tables.tokens.insert(digest, Arc::new(token));
        count += 1;
    }
    Ok(count)
}

fn array<const LENGTH: usize>(octets: &[u8]) -> Result<[u8; LENGTH], NotAnImage> {
    octets.try_into().map_err(|_length| NotAnImage::Unreadable)
}

/// Applies the changes behind an image, which must reach as far as what it holds.
fn read_changes(tables: &Tables, changes: &[&[u8]], until: u64) -> Result<(), NotAnImage> {
    let mut own = tables.revision.load(Ordering::Relaxed);
    for part in changes {
        let mut part = content(part, Kind::Change)?;
        let revision = part.try_get_u64()?;
        if revision != own + 1 {
            return Err(NotAnImage::Missing(own));
        }
        let records: Vec<Record> = serde_json::from_slice(part).map_err(|_malformed| NotAnImage::Unreadable)?;
        records.into_iter().for_each(|record| tables.apply(record, revision));
        own = revision;
    }
    if own < until {
        return Err(NotAnImage::Missing(own));
    }
    tables.revision.store(own, Ordering::Relaxed);
    tables.begun.store(own, Ordering::Relaxed);
    Ok(())
}

/// Parts that one thread reads sooner than several are started.
const ALONE_PARTS: usize = 16;

/// Length from which on a part is handed out, in octets: some thousand tokens, so that there are parts for all threads and
/// sealing each costs nothing.
const PART_BYTES: usize = 256 * 1024;
