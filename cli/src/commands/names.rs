//! What people call guests and checkpoints, and what they may have meant.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail};
use revenant_core::Store;
use revenant_core::store::{CheckpointId, StoreError};

use crate::output::note;

/// The most guests that are listed.
const GUESTS_MAX: usize = 8;

/// The checkpoint that is called so; if none is, the error says what there is.
pub(super) fn resolve(store: &Store, text: &str) -> Result<CheckpointId> {
    match store.resolve(text) {
        Err(error @ StoreError::NoSuchName(_)) => {
            let guest = match text.rsplit_once('~') {
                Some((guest, back)) if back.parse::<u64>().is_ok() => guest,
                _ => text,
            };
            Err(anyhow!("{error}\n{}", guests(store, guest)?))
        }
        resolved => Ok(resolved?),
    }
}

/// A name that nobody has is a slip, and a command that does nothing because of it would look well.
pub(super) fn known_guest(store: &Store, guest: &str) -> Result<String> {
    match store.newest(guest)? {
        Some(_) => Ok(guest.to_owned()),
        None => bail!("no guest is called {guest:?}\n{}", guests(store, guest)?),
    }
}

/// The same where nothing to be found is an answer, too.
pub(super) fn note_if_unknown(store: &Store, guest: &str) -> Result<()> {
    if store.newest(guest)?.is_none() {
        note(&format!(
            "no guest is called {guest:?}; {}",
            guests(store, guest)?
        ));
    }
    Ok(())
}

/// The guests that a store has, and which of them may be meant.
fn guests(store: &Store, meant: &str) -> Result<String> {
    let listed = store.list()?.checkpoints;
    let names: BTreeSet<String> = listed.into_iter().map(|info| info.guest).collect();
    if names.is_empty() {
        return Ok("the store has no checkpoints".to_owned());
    }
    let near = nearest(meant, names.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    let shown: Vec<String> = names
        .iter()
        .take(GUESTS_MAX)
        .map(|name| format!("{name:?}"))
        .collect();
    let more = match names.len().saturating_sub(GUESTS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Ok(format!("the store has {}{more}{near}", shown.join(", ")))
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
