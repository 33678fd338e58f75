//! What people call a checkpoint.

use std::collections::BTreeSet;

use super::{CheckpointId, CheckpointInfo, Store, StoreError};

/// The fewest digits that stand for an id. Guests with short names that could be hex digits are common.
pub(super) const ID_DIGITS_MIN: usize = 6;
/// Digits beyond those that ids have in common, when they are told apart.
const DIGITS_MORE: usize = 4;
/// Digits of an id that is shown as a choice, at least.
const DIGITS_SHOWN: usize = 12;
/// What says that a word is the name of a guest, or the beginning of an id, and nothing else.
const GUEST: &str = "guest:";
const ID: &str = "id:";
/// The most choices that are listed.
const CHOICES_MAX: usize = 8;

/// Something that a word could be.
enum Meaning {
    /// The name of a guest, for its newest.
    Guest(CheckpointId),
    /// `NAME~N`.
    Before(CheckpointId, usize),
    /// The beginning of its id.
    Id(CheckpointId),
}

impl Meaning {
    fn id(&self) -> CheckpointId {
        match *self {
            Meaning::Guest(id) | Meaning::Before(id, _) | Meaning::Id(id) => id,
        }
    }
}

impl Store {
    /// The checkpoint that people call this: a guest's name, for its newest; `NAME~N`, for the one that is N before that; an
    /// id or the beginning of one, in at least 6 digits of any case. A word that could be one checkpoint and another is refused.
    /// `guest:NAME` is the newest of the guest of exactly this name, `id:DIGITS` an id, whatever guests are called.
    ///
    /// # Errors
    /// [`NoSuchName`](StoreError::NoSuchName), [`NoSuchGuest`](StoreError::NoSuchGuest),
    /// [`NotThatMany`](StoreError::NotThatMany) and, with the choices there are, [`Ambiguous`](StoreError::Ambiguous); those of
    /// reading the catalogue.
    pub fn resolve(&self, text: &str) -> Result<CheckpointId, StoreError> {
        let heads = self.heads()?;
        let mut infos: Vec<&CheckpointInfo> = heads.iter().map(|head| &head.info).collect();
        infos.sort_by_key(|info| std::cmp::Reverse(info.age_key()));
        let newest_first = |guest: &str| -> Vec<CheckpointId> {
            let of_guest = infos.iter().filter(|info| info.guest == guest);
            of_guest.map(|info| info.id).collect()
        };
        if let Some(guest) = text.strip_prefix(GUEST) {
            let newest = newest_first(guest).first().copied();
            return newest.ok_or_else(|| no_such_guest(guest, &infos));
        }
        // Also those whose head does not read: what is wrong with them is told by whoever reads them.
        let ids = self.ids()?;
        if let Some(digits) = text.strip_prefix(ID) {
            return only(text, &beginning_with(digits, &ids), &ids, &infos);
        }
        let mut meanings: Vec<Meaning> = newest_first(text)
            .into_iter()
            .take(1)
            .map(Meaning::Guest)
            .collect();
        let mut too_far = None;
        if let Some((guest, back)) = text.rsplit_once('~')
            && is_number(back)
        {
            let all = newest_first(guest);
            let found = back
                .parse()
                .ok()
                .and_then(|back: usize| Some((back, *all.get(back)?)));
            match found {
                Some((back, id)) => meanings.push(Meaning::Before(id, back)),
                None if all.is_empty() => {}
                None => {
                    too_far = Some(StoreError::NotThatMany {
                        text: text.to_owned(),
                        guest: guest.to_owned(),
                        checkpoints: all.len(),
                    });
                }
            }
        }
        meanings.extend(beginning_with(text, &ids));
        match too_far {
            Some(too_far) if meanings.is_empty() => Err(too_far),
            _ => only(text, &meanings, &ids, &infos),
        }
    }

    /// Fails, with the guests there are, if no checkpoint that reads is of a guest of this name.
    ///
    /// # Errors
    /// [`NoSuchGuest`](StoreError::NoSuchGuest); those of reading the catalogue.
    pub fn check_guest(&self, guest: &str) -> Result<(), StoreError> {
        let heads = self.heads()?;
        let infos: Vec<&CheckpointInfo> = heads.iter().map(|head| &head.info).collect();
        if infos.iter().any(|info| info.guest == guest) {
            Ok(())
        } else {
            Err(no_such_guest(guest, &infos))
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn beginning_with(digits: &str, ids: &[CheckpointId]) -> Vec<Meaning> {
    let digits = digits.to_ascii_lowercase();
    if digits.len() < ID_DIGITS_MIN {
        return Vec::new();
    }
    let matching = ids.iter().filter(|id| id.to_hex().starts_with(&digits));
    matching.map(|&id| Meaning::Id(id)).collect()
}

/// The one checkpoint that all meanings of a word lead to.
fn only(
    text: &str,
    meanings: &[Meaning],
    ids: &[CheckpointId],
    infos: &[&CheckpointInfo],
) -> Result<CheckpointId, StoreError> {
    match meanings {
        [] => Err(StoreError::NoSuchName {
            text: text.to_owned(),
            guests: guests(infos),
        }),
        [first, others @ ..] if others.iter().all(|other| other.id() == first.id()) => Ok(first.id()),
        all => {
            let choices = all.iter().map(|meaning| choice(text, meaning, ids, infos));
            Err(StoreError::Ambiguous {
                text: text.to_owned(),
                choices: some_of(choices),
            })
        }
    }
}

/// A word that has this meaning alone, and what it is.
fn choice(text: &str, meaning: &Meaning, ids: &[CheckpointId], infos: &[&CheckpointInfo]) -> String {
    let id = meaning.id();
    let name = id.to_hex();
    let common = |other: &CheckpointId| {
        let other = other.to_hex();
        name.bytes()
            .zip(other.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let others = ids.iter().filter(|&&other| other != id);
    let digits = others.map(common).max().unwrap_or_default() + DIGITS_MORE;
    let digits = &name[..digits.max(DIGITS_SHOWN).min(name.len())];
    match (meaning, infos.iter().find(|info| info.id == id)) {
        (Meaning::Guest(_), _) => format!("{:?} (its newest, {digits})", format!("{GUEST}{text}")),
        (Meaning::Before(_, back), Some(info)) => {
            format!("{ID}{digits} (guest {:?}, {back} before its newest)", info.guest)
        }
        (_, Some(info)) => format!("{ID}{digits} (guest {:?})", info.guest),
        (_, None) => format!("{ID}{digits} (its manifest does not read)"),
    }
}

fn no_such_guest(name: &str, infos: &[&CheckpointInfo]) -> StoreError {
    StoreError::NoSuchGuest {
        name: name.to_owned(),
        guests: guests(infos),
    }
}

/// The guests there are, as far as they are worth listing.
fn guests(infos: &[&CheckpointInfo]) -> Vec<String> {
    let all: BTreeSet<&str> = infos.iter().map(|info| info.guest.as_str()).collect();
    some_of(all.iter().map(|name| format!("{name:?}")))
}

/// The first of them, and how many more there are.
fn some_of(mut all: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let mut told: Vec<String> = all.by_ref().take(CHOICES_MAX).collect();
    if all.len() > 0 {
        told.push(format!("and {} more", all.len()));
    }
    told
}
