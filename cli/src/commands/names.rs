//! What people call guests and checkpoints, and what they may have meant.

use std::collections::BTreeSet;

use anyhow::{Error, Result, anyhow};
use revenant_core::Store;
use revenant_core::store::{CheckpointId, StoreError};

/// The checkpoint that is called so; if none is, the error says what there is.
pub(super) fn resolve(store: &Store, text: &str) -> Result<CheckpointId> {
    store.resolve(text).map_err(|error| {
        let guest = match text.rsplit_once('~') {
            Some((guest, back)) if back.parse::<u64>().is_ok() => guest,
            _ => text,
        };
        hinted(store, error, guest.strip_prefix("guest:").unwrap_or(guest))
    })
}

/// A name that nobody has is a slip, and a command that does nothing because of it would look well.
pub(super) fn known_guest(store: &Store, guest: &str) -> Result<String> {
    let known = store.check_guest(guest).map(|()| guest.to_owned());
    known.map_err(|error| hinted(store, error, guest))
}

/// The same error, with the guest that may be meant if nobody is called so.
fn hinted(store: &Store, error: StoreError, meant: &str) -> Error {
    let is_slip = matches!(
        error,
        StoreError::NoSuchName { .. } | StoreError::NoSuchGuest { .. }
    );
    let listed = store
        .list()
        .map(|listing| listing.checkpoints)
        .unwrap_or_default();
    let names: BTreeSet<String> = listed.into_iter().map(|info| info.guest).collect();
    match nearest(meant, names.iter().map(String::as_str)) {
        Some(near) if is_slip => anyhow!("{error}; did you mean {near:?}?"),
        _ => error.into(),
    }
}

/// The name that takes the fewest slips to be typed as `meant`, if they are not more than a third of its letters.
fn nearest<'n>(meant: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let meant: Vec<char> = meant.to_lowercase().chars().collect();
    let rated = names.map(|name| {
        let name_chars: Vec<char> = name.to_lowercase().chars().collect();
        let slips_max = meant.len().max(name_chars.len()).div_ceil(3);
        (slips(&meant, &name_chars), slips_max, name)
    });
    rated
        .filter(|&(slips, most, _)| slips <= most)
        .min_by_key(|&(slips, ..)| slips)
        .map(|(.., name)| name)
}

/// Letters that were left out, added, mistaken, or swapped with the next one.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mistaken = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = mistaken.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(before[j - 2] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_not() {
        let names = ["web1", "web2", "database", "größer"];
        for (meant, near) in [
            ("wbe1", Some("web1")),
            ("WEB2", Some("web2")),
            ("web", Some("web1")),
            ("datbase", Some("database")),
            ("grösser", Some("größer")),
            ("mail", None),
            ("", None),
        ] {
            assert_eq!(nearest(meant, names.into_iter()), near, "{meant:?}");
        }
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, count) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(&letters(a), &letters(b)), count, "{a} {b}");
        }
    }
}
