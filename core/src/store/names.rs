//! What people call a checkpoint.

use super::{CheckpointId, CheckpointInfo, Store, StoreError};

/// The fewest digits that stand for an id. Guests with short names that could be hex digits are common.
pub(super) const ID_DIGITS_MIN: usize = 6;
/// Digits beyond those that ids have in common, when they are told apart.
const DIGITS_MORE: usize = 4;
/// The most choices that are listed.
const CHOICES_MAX: usize = 8;

impl Store {
    /// The checkpoint that people call this: a guest's name, for its newest; `NAME~N`, for the one that is N before that; else
    /// an id or the beginning of one, in at least 6 digits of any case. A guest's name wins, whatever it looks like.
    ///
    /// # Errors
    /// [`NoSuchName`](StoreError::NoSuchName), [`NotThatMany`](StoreError::NotThatMany) and, with the choices there are,
    /// [`Ambiguous`](StoreError::Ambiguous); those of reading the catalogue.
    pub fn resolve(&self, text: &str) -> Result<CheckpointId, StoreError> {
        let heads = self.heads()?;
        let mut infos: Vec<&CheckpointInfo> = heads.iter().map(|head| &head.info).collect();
        infos.sort_by_key(|info| std::cmp::Reverse(info.age_key()));
        let newest_first = |guest: &str| -> Vec<CheckpointId> {
            let of_guest = infos.iter().filter(|info| info.guest == guest);
            of_guest.map(|info| info.id).collect()
        };
        if let Some(&newest) = newest_first(text).first() {
            return Ok(newest);
        }
        if let Some((guest, back)) = text.rsplit_once('~')
            && is_number(back)
        {
            let all = newest_first(guest);
            let found = back.parse().ok().and_then(|back: usize| all.get(back));
            if let Some(&found) = found {
                return Ok(found);
            }
            if !all.is_empty() {
                return Err(StoreError::NotThatMany {
                    text: text.to_owned(),
                    guest: guest.to_owned(),
                    checkpoints: all.len(),
                });
            }
        }
        self.by_id(text, &infos)
    }

    fn by_id(&self, text: &str, infos: &[&CheckpointInfo]) -> Result<CheckpointId, StoreError> {
        let digits = text.to_ascii_lowercase();
        if digits.len() < ID_DIGITS_MIN {
            return Err(StoreError::NoSuchName(text.to_owned()));
        }
        // Also those whose head does not read: what is wrong with them is told by whoever reads them.
        let ids = self.ids()?;
        let matching: Vec<CheckpointId> = ids
            .into_iter()
            .filter(|id| id.to_hex().starts_with(&digits))
            .collect();
        match matching.as_slice() {
            [] => Err(StoreError::NoSuchName(text.to_owned())),
            [id] => Ok(*id),
            all => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                choices: choices(all, infos),
            }),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// Ids with as many digits as tell neighbours apart, and the guests they are of. Ids come ascending.
fn choices(ids: &[CheckpointId], infos: &[&CheckpointInfo]) -> Vec<String> {
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let names: Vec<String> = ids.iter().map(CheckpointId::to_hex).collect();
    let digits = names
        .windows(2)
        .map(|pair| common(&pair[0], &pair[1]))
        .max()
        .unwrap_or_default()
        + DIGITS_MORE;
    let mut told: Vec<String> = ids
        .iter()
        .zip(&names)
        .take(CHOICES_MAX)
        .map(|(id, name)| {
            let digits = &name[..digits.min(name.len())];
            match infos.iter().find(|info| info.id == *id) {
                Some(info) => format!("{digits} (guest {:?})", info.guest),
                None => format!("{digits} (its manifest does not read)"),
            }
        })
        .collect();
    if ids.len() > CHOICES_MAX {
        told.push(format!("{} more", ids.len() - CHOICES_MAX));
    }
    told
}
