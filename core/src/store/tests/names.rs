//! A guest is found by its name, whatever the name looks like; an id by its beginning.

use proptest::prelude::*;

use super::memory::MemoryMedium;
use super::support::*;
use crate::store::{CheckpointId, Store, StoreError};

fn commit(store: &Store, guest: &str, content: u32) -> CheckpointId {
    let mut staging = store.begin_as_named(new(guest, None)).unwrap();
    put(&mut staging, &[(0, 0, content)]).unwrap();
    staging.commit().unwrap().id
}

/// What a name is made of, an id being known.
fn any_name(id: String) -> impl Strategy<Value = String> {
    prop_oneof![
        // The beginning of the id, all of it, more than it; in capitals.
        (0..=64usize, any::<bool>()).prop_map(move |(len, upper)| {
            if upper {
                id[..len].to_uppercase()
            } else {
                id[..len].to_owned()
            }
        }),
        "[0-9a-f]{1,8}",
        "[0-9a-f]{64}",
        "[a-c~0-2]{0,5}",
        "[a-c]{1,2}~[0-9]{1,20}",
        Just(String::new()),
        "\\PC{0,12}",
        Just("n".repeat(4096)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_guests_name_wins_and_ids_need_a_length(
        seed in any::<u32>(),
        shapes in prop::collection::vec((any::<prop::sample::Index>(), 1..3usize), 1..6),
        pool in any::<[u8; 8]>().prop_flat_map(|bytes| {
            // The id of the first checkpoint depends on nothing but its content.
            let store = store_on(MemoryMedium::new(), options(0));
            let id = commit(&store, "other", u32::from_le_bytes(*bytes.first_chunk().unwrap()) | 1);
            prop::collection::vec(any_name(id.to_hex()), 8).prop_map(move |names| (bytes, names))
        }),
    ) {
        let (bytes, names) = pool;
        let store = store_on(MemoryMedium::new(), options(0));
        let first = commit(&store, "other", u32::from_le_bytes(*bytes.first_chunk().unwrap()) | 1);
        let mut guests: Vec<(String, Vec<CheckpointId>)> = vec![("other".to_owned(), vec![first])];
        for (name, count) in shapes {
            let name = name.get(&names).clone();
            let all: Vec<_> = (0..count).map(|i| commit(&store, &name, seed ^ u32::try_from(i).unwrap())).collect();
            match guests.iter_mut().find(|guest| guest.0 == name) {
                Some(guest) => guest.1.extend(all),
                None => guests.push((name, all)),
            }
        }
        let is_guest = |text: &str| guests.iter().any(|guest| guest.0 == text);
        for (name, all) in &guests {
            prop_assert_eq!(store.resolve(name).unwrap(), *all.last().unwrap(), "{:?}", name);
            for (back, id) in all.iter().rev().enumerate() {
                let text = format!("{name}~{back}");
                if !is_guest(&text) {
                    prop_assert_eq!(store.resolve(&text).unwrap(), *id, "{:?}", text);
                }
            }
            let text = format!("{name}~{}", all.len());
            if !is_guest(&text) {
                let refused = matches!(store.resolve(&text), Err(StoreError::NotThatMany { .. }));
                prop_assert!(refused, "{:?}", text);
            }
        }
        let ids: Vec<CheckpointId> = guests.iter().flat_map(|guest| guest.1.clone()).collect();
        for id in &ids {
            for len in [1, 5, 6, 12, 63, 64] {
                for text in [id.to_hex()[..len].to_owned(), id.to_hex()[..len].to_uppercase()] {
                    if is_guest(&text) {
                        continue;
                    }
                    let matching = ids.iter().filter(|id| id.to_hex().starts_with(&text.to_lowercase())).count();
                    match store.resolve(&text) {
                        Ok(found) => prop_assert!(found == *id && matching == 1 && len >= 6),
                        Err(StoreError::Ambiguous { choices, .. }) => prop_assert_eq!(choices.len(), matching),
                        Err(StoreError::NoSuchName(_)) => prop_assert!(len < 6),
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                }
            }
        }
    }
}

#[test]
fn choices_are_told_apart() {
    // Manifests that do not read have names all the same.
    let medium = MemoryMedium::new();
    let store = store_on(medium.clone(), options(0));
    let id = commit(&store, "web", 1).to_hex();
    let twin = format!("{}{}", &id[..63], if id.ends_with('0') { '1' } else { '0' });
    medium.set(&format!("checkpoints/{twin}"), Vec::new());
    let Err(StoreError::Ambiguous { choices, .. }) = store.resolve(&id[..20]) else {
        panic!("two ids begin with these digits");
    };
    assert!(
        choices
            .iter()
            .any(|choice| choice.starts_with(&id) && choice.contains("web")),
        "{choices:?}"
    );
    assert!(
        choices.iter().any(|choice| choice.starts_with(&twin)),
        "{choices:?}"
    );
    assert_eq!(store.resolve(&id.to_uppercase()).unwrap().to_hex(), id);
}
